//! The chart: what a turn takes beyond codex itself, ours and others', and how all figures stand to their aims.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::line::Line;
use crate::measured::Measured;

const WIDTH: u32 = 960;

/// Where the panels about others end.
const OTHERS_HEIGHT: u32 = 620;

/// What an aim takes, and all of them besides.
const AIM_HEIGHT: u32 = 22;
const AIMS_HEIGHT: u32 = 100;

const OURS: RGBColor = RGBColor(0, 110, 160);
const OTHERS: RGBColor = RGBColor(170, 170, 170);
const NOT_REACHED: RGBColor = RGBColor(190, 80, 30);

/// What one panel shows of each side.
struct Figure {
    caption: &'static str,
    mode: &'static str,
    key: &'static str,
    /// What the figure is divided by to be in the caption's unit.
    unit: f64,
}

const FIGURES: [Figure; 4] = [
    Figure {
        caption: "added to a turn, live process (ms)",
        mode: "live",
        key: "added_ms",
        unit: 1.0,
    },
    Figure {
        caption: "added to a turn, whole program (ms)",
        mode: "program",
        key: "added_ms",
        unit: 1.0,
    },
    Figure {
        caption: "peak memory, live process (MiB)",
        mode: "live",
        key: "peak_rss_kib",
        unit: 1024.0,
    },
    Figure {
        caption: "peak memory, whole program (MiB)",
        mode: "program",
        key: "peak_rss_kib",
        unit: 1024.0,
    },
];

/// A bar from zero.
struct Bar<'a> {
    label: &'a str,
    length: f64,
    color: RGBColor,
}

/// The chart as SVG.
pub fn svg(measured: &Measured, lines: &[Line], machine: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(measured, lines, machine, &mut text)
        .map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(text)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(measured: &Measured, lines: &[Line], machine: &str, text: &mut String) -> Drawn {
    let height = OTHERS_HEIGHT + AIMS_HEIGHT + AIM_HEIGHT * lines.len() as u32;
    let root = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (others, aims) = root.split_vertically(OTHERS_HEIGHT);
    let title = "Beside other wrappers, on a codex that answers at once, one turn at a time";
    let others = others.titled(title, ("sans-serif", 20))?;
    let others = others.titled(machine, ("sans-serif", 12))?;
    let sides = measured.sides();
    for (figure, area) in FIGURES.iter().zip(others.split_evenly((2, 2))) {
        let bars = sides.iter().filter(|side| **side != "bare");
        let bars = bars.filter_map(|label| {
            let figure = measured.peer(label, "fake", figure.mode, 1, figure.key)? / figure.unit;
            Some(Bar {
                label,
                length: figure,
                color: if label.starts_with("ours") {
                    OURS
                } else {
                    OTHERS
                },
            })
        });
        panel(&area, figure.caption, 110, &bars.collect::<Vec<_>>())?;
    }
    let bars: Vec<Bar<'_>> = lines
        .iter()
        .filter_map(|line| {
            let length = line.share_of_aim()?;
            Some(Bar {
                label: &line.what,
                // Less than nothing is shown as nothing.
                length: length.max(0.0),
                color: if length <= 1.0 { OURS } else { NOT_REACHED },
            })
        })
        .collect();
    let aims = aims.titled("All figures, as parts of their aims", ("sans-serif", 20))?;
    panel(&aims, "(up to 1 is reached)", 400, &bars)?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    caption: &str,
    label_width: u32,
    bars: &[Bar<'_>],
) -> Drawn {
    let most = bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
    // The first at the top. A bar is as high as the distance of two labels.
    let place = |index: usize| (bars.len() - index) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(label_width)
        // Room for the figure behind the longest bar.
        .build_cartesian_2d(0.0..most * 1.15, 0.5..bars.len() as f64 + 0.5)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_max_light_lines(1)
        .draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(index, bar)| {
        let corners = [(0.0, place(index) - 0.4), (bar.length, place(index) + 0.4)];
        Rectangle::new(corners, bar.color.filled())
    }))?;
    let words = |text: String, at: (f64, f64), align| {
        let style = ("sans-serif", 12).into_text_style(area).pos(align);
        Text::new(text, at, style)
    };
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    chart.draw_series(bars.iter().enumerate().map(|(index, bar)| {
        let figure = if bar.length < 10.0 {
            format!(" {:.2}", bar.length)
        } else {
            format!(" {:.0}", bar.length)
        };
        words(
            figure,
            (bar.length, place(index)),
            Pos::new(HPos::Left, VPos::Center),
        )
    }))?;
    for (index, bar) in bars.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(0.0, place(index)));
        let style = ("sans-serif", 12)
            .into_text_style(area)
            .pos(Pos::new(HPos::Right, VPos::Center));
        let (left, top) = area.get_base_pixel();
        area.draw_text(bar.label, &style, (x - left - 6, y - top))?;
    }
    Ok(())
}
