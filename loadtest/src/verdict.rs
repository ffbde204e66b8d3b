//! The verdict on a run and its report.

use std::collections::BTreeMap;

use goose::metrics::GooseMetrics;

/// The kinds of errors that the report shows.
const ERRORS_SHOWN: usize = 5;

/// Returns whether the run passed, and the report. A run passes if every threshold holds and no row
/// has 429s alone.
///
/// The report's main line has `PASS` or `FAIL`, the requests, and the value of each threshold. A
/// line before it has the 429s; lines after it have the rows with 429s alone and the most frequent
/// errors.
pub(crate) fn verdict(
    metrics: &GooseMetrics,
    limited: &BTreeMap<String, usize>,
    thresholds_hold: bool,
) -> (bool, String) {
    let requests: usize =
        metrics.requests.values().map(|row| row.success_count + row.fail_count).sum();
    let failed: usize = metrics.requests.values().map(|row| row.fail_count).sum();
    let a_second = requests / metrics.duration.max(1);
    let refused: Vec<&String> =
        limited.keys().filter(|row| !metrics.requests.contains_key(*row)).collect();
    let passed = thresholds_hold && refused.is_empty();
    let mut text = String::new();
    if !limited.is_empty() {
        let rows: Vec<String> =
            limited.iter().map(|(row, times)| format!("{times} of {row}")).collect();
        text = format!("limited (429) and not counted: {}\n", rows.join(", "));
    }
    let verdict = if passed { "PASS" } else { "FAIL" };
    text += &format!(
        "{verdict}: {requests} requests in {} s ({a_second} a second), {failed} failed",
        metrics.duration
    );
    for threshold in &metrics.thresholds {
        text += &format!("; {}: {}", threshold.rule, threshold.observed);
    }
    for row in refused {
        text += &format!("\n  {row}: nothing but 429");
    }
    let mut errors: Vec<_> = metrics.errors.values().collect();
    errors.sort_by_key(|error| std::cmp::Reverse(error.occurrences));
    for error in errors.iter().take(ERRORS_SHOWN) {
        text += &format!(
            "\n  {} times {} {}: {}",
            error.occurrences, error.custom_method, error.name, error.error
        );
    }
    (passed, text)
}
