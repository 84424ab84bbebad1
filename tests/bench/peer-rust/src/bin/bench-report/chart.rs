//! The chart: what a turn takes beyond codex itself, ours and others'.

use anyhow::anyhow;
use plotters::prelude::*;

use crate::measured::Measured;

const SIZE: (u32, u32) = (960, 620);

/// Bars, one a side.
struct Panel {
    caption: &'static str,
    mode: &'static str,
    key: &'static str,
    /// What the figure is divided by to be in the caption's unit.
    unit: f64,
}

const PANELS: [Panel; 4] = [
    Panel {
        caption: "added to a turn, live process (ms)",
        mode: "live",
        key: "added_ms",
        unit: 1.0,
    },
    Panel {
        caption: "added to a turn, whole program (ms)",
        mode: "program",
        key: "added_ms",
        unit: 1.0,
    },
    Panel {
        caption: "peak memory, live process (MiB)",
        mode: "live",
        key: "peak_rss_kib",
        unit: 1024.0,
    },
    Panel {
        caption: "peak memory, whole program (MiB)",
        mode: "program",
        key: "peak_rss_kib",
        unit: 1024.0,
    },
];

/// The chart as SVG.
pub fn svg(measured: &Measured, machine: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(measured, machine, &mut text)
        .map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(text)
}

fn draw(
    measured: &Measured,
    machine: &str,
    text: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let sides: Vec<&str> = measured
        .sides()
        .into_iter()
        .filter(|side| *side != "bare")
        .collect();
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = "Beside other wrappers, on a codex that answers at once, one turn at a time";
    let root = root.titled(title, ("sans-serif", 20))?;
    let root = root.titled(machine, ("sans-serif", 12))?;
    for (panel, area) in PANELS.iter().zip(root.split_evenly((2, 2))) {
        let bars: Vec<(&str, f64)> = sides
            .iter()
            .filter_map(|side| {
                let figure = measured.peer(side, "fake", panel.mode, 1, panel.key)?;
                Some((*side, figure / panel.unit))
            })
            .collect();
        let most = bars.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(panel.caption, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(24)
            .y_label_area_size(110)
            // Room for the figure behind the longest bar.
            .build_cartesian_2d(0.0..most * 1.15, (0..bars.len()).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .set_all_tick_mark_size(0)
            .x_max_light_lines(1)
            .y_labels(bars.len())
            .y_label_formatter(&|place| match place {
                SegmentValue::CenterOf(place) => bars
                    .get(*place)
                    .map_or(String::new(), |(side, _)| (*side).to_owned()),
                _ => String::new(),
            })
            .draw()?;
        let color = |side: &str| {
            if side == "ours" {
                RGBColor(0, 110, 160)
            } else {
                RGBColor(170, 170, 170)
            }
        };
        chart.draw_series(bars.iter().enumerate().map(|(place, (side, figure))| {
            let mut bar = Rectangle::new(
                [
                    (0.0, SegmentValue::Exact(place)),
                    (*figure, SegmentValue::Exact(place + 1)),
                ],
                color(side).filled(),
            );
            bar.set_margin(5, 5, 0, 0);
            bar
        }))?;
        chart.draw_series(bars.iter().enumerate().map(|(place, (_, figure))| {
            Text::new(
                format!(" {figure:.1}"),
                (*figure, SegmentValue::CenterOf(place)),
                ("sans-serif", 13),
            )
        }))?;
    }
    root.present()?;
    Ok(())
}
