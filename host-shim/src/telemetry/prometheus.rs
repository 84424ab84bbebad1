//! The counters as text for Prometheus, in the format OpenMetrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::Value;

use super::durations::Durations;
use super::metrics::Metrics;

/// What the names of all metrics begin with.
const PREFIX: &str = "plexum_openai_provider";

impl Metrics {
    /// These counters as text for Prometheus; its media type is
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    ///
    /// # Errors
    /// None that is known: it writes into memory.
    pub fn prometheus(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Snapshot(self.clone())));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// The counters at one moment.
#[derive(Debug)]
struct Snapshot(Metrics);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Metrics {
            turns_waiting,
            turns_open,
            turns_completed,
            turns_aborted,
            turns_failed,
            codex_starts,
            codex_restarts,
            codex_refusals,
            output_bytes,
            lines_skipped,
            left_behind,
            record_lines_lost,
            input_tokens,
            output_tokens,
            to_first_line,
            to_first_text,
            to_end,
            servers,
            fleet,
        } = &self.0;
        let mut page = Page(encoder);
        page.gauge("turns_waiting", "Turns that wait", *turns_waiting)?;
        page.gauge("turns_open", "Turns that run", *turns_open)?;
        page.counter(
            "turns_completed",
            "Turns that ended without a failure",
            *turns_completed,
        )?;
        page.counter("turns_aborted", "Turns that were stopped", *turns_aborted)?;
        page.counters("turns_failed", "Turns that failed", "kind", turns_failed)?;
        page.counter(
            "codex_starts",
            "Times that codex was started",
            *codex_starts,
        )?;
        page.counter(
            "codex_restarts",
            "Starts that were not the first of their turn",
            *codex_restarts,
        )?;
        page.counter(
            "codex_refusals",
            "Times that codex was not started",
            *codex_refusals,
        )?;
        page.bytes("output", "What codex has printed", *output_bytes)?;
        page.counter(
            "lines_skipped",
            "Lines that were too long and were left out",
            *lines_skipped,
        )?;
        page.counter(
            "left_behind",
            "Processes that codex left behind and that were ended",
            *left_behind,
        )?;
        page.counter(
            "record_lines_lost",
            "Lines of the record that could not be written",
            *record_lines_lost,
        )?;
        page.counter("input_tokens", "Tokens read", *input_tokens)?;
        page.counter("output_tokens", "Tokens written", *output_tokens)?;
        page.durations(
            "to_first_line",
            "From the beginning of a turn to codex's first line",
            to_first_line,
        )?;
        page.durations(
            "to_first_text",
            "From the beginning of a turn to its first text",
            to_first_text,
        )?;
        page.durations("to_end", "From the beginning of a turn to its end", to_end)?;
        page.gauge(
            "servers_waiting",
            "Codex processes that wait for their next turn",
            servers.waiting,
        )?;
        page.counter(
            "servers_cold_turns",
            "Turns for which a codex that stays was started",
            servers.cold_turns,
        )?;
        page.counter(
            "servers_warm_turns",
            "Turns of a codex that had waited",
            servers.warm_turns,
        )?;
        page.counters(
            "servers_closed",
            "Codex processes that are not kept any more",
            "reason",
            &servers.closed,
        )?;
        page.durations(
            "servers_cold_to_first_text",
            "The first text of a codex that was started",
            &servers.cold_to_first_text,
        )?;
        page.durations(
            "servers_warm_to_first_text",
            "The first text of a codex that had waited",
            &servers.warm_to_first_text,
        )?;
        page.durations(
            "fleet_leases",
            "Leases that were taken, and the waits for them",
            &fleet.leases,
        )?;
        page.counter(
            "fleet_leases_lost",
            "Leases that were lost while a turn ran",
            fleet.leases_lost,
        )?;
        page.bytes(
            "fleet_handed_over",
            "Codex's records that were handed to the store",
            fleet.bytes_handed_over,
        )?;
        page.bytes(
            "fleet_fetched",
            "Codex's records that were fetched from the store",
            fleet.bytes_fetched,
        )?;
        page.durations(
            "fleet_restores",
            "Records that were fetched",
            &fleet.restores,
        )
    }
}

/// The page that is written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        N: EncodeCounterValue + fmt::Debug,
    {
        self.counter_in(None, name, help, value)
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counter_in(Some(&Unit::Bytes), name, help, value)
    }

    fn counter_in<N>(
        &mut self,
        unit: Option<&Unit>,
        name: &str,
        help: &str,
        value: N,
    ) -> fmt::Result
    where
        N: EncodeCounterValue + fmt::Debug,
    {
        let counter = ConstCounter::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, unit, counter.metric_type())?;
        counter.encode(encoder)
    }

    fn gauge_in<N>(&mut self, unit: Option<&Unit>, name: &str, help: &str, value: N) -> fmt::Result
    where
        N: EncodeGaugeValue + fmt::Debug,
    {
        let gauge = ConstGauge::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, unit, gauge.metric_type())?;
        gauge.encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge_in(None, name, help, value)
    }

    /// One counter for each value of a label, whose words are those of the JSON.
    fn counters<'m, K: serde::Serialize + 'm>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl IntoIterator<Item = (&'m K, &'m u64)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (key, count) in counts {
            let Ok(Value::String(word)) = serde_json::to_value(key) else {
                continue;
            };
            let labels = [(label, word.as_str())];
            ConstCounter::new(*count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// How often, how long in all, and the longest.
    fn durations(&mut self, name: &str, help: &str, durations: &Durations) -> fmt::Result {
        let Durations {
            count,
            seconds,
            longest_seconds,
        } = *durations;
        self.counter(
            &format!("{name}_times"),
            &format!("{help}: how many"),
            count,
        )?;
        let help_all = format!("{help}: the time of all together");
        self.counter_in(Some(&Unit::Seconds), name, &help_all, seconds)?;
        let longest = format!("{name}_longest");
        let help_longest = format!("{help}: the longest");
        self.gauge_in(
            Some(&Unit::Seconds),
            &longest,
            &help_longest,
            longest_seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::event::FailureKind;

    #[test]
    fn every_counter_is_there_with_its_value_and_its_labels() {
        let mut metrics = Metrics {
            turns_open: 3,
            turns_completed: 7,
            output_bytes: 1234,
            ..Metrics::default()
        };
        metrics.turns_failed.insert(FailureKind::SessionMoved, 2);
        metrics.to_end.count = 9;
        metrics.to_end.seconds = 1.5;
        metrics.to_end.longest_seconds = 0.5;
        metrics.fleet.leases_lost = 1;
        let text = metrics.prometheus().unwrap();
        for line in [
            "plexum_openai_provider_turns_open 3",
            "plexum_openai_provider_turns_completed_total 7",
            "plexum_openai_provider_turns_failed_total{kind=\"session_moved\"} 2",
            "plexum_openai_provider_output_bytes_total 1234",
            "plexum_openai_provider_to_end_times_total 9",
            "plexum_openai_provider_to_end_seconds_total 1.5",
            "plexum_openai_provider_to_end_longest_seconds 0.5",
            "plexum_openai_provider_fleet_leases_lost_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
