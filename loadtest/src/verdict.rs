//! What came of a run, in a line.

use goose::metrics::GooseMetrics;

/// How many kinds of errors are shown below.
const ERRORS_SHOWN: usize = 5;

/// `PASS` or `FAIL`, how much was asked, what each threshold saw, and the most frequent errors in lines of their own.
pub(crate) fn of(metrics: &GooseMetrics, passed: bool) -> String {
    let requests: usize = metrics.requests.values().map(|row| row.success_count + row.fail_count).sum();
    let failed: usize = metrics.requests.values().map(|row| row.fail_count).sum();
    let a_second = requests / metrics.duration.max(1);
    let verdict = if passed { "PASS" } else { "FAIL" };
    let mut text = format!("{verdict}: {requests} requests in {} s ({a_second} a second), {failed} failed", metrics.duration);
    for threshold in &metrics.thresholds {
        text += &format!("; {}: {}", threshold.rule, threshold.observed);
    }
    let mut errors: Vec<_> = metrics.errors.values().collect();
    errors.sort_by_key(|error| std::cmp::Reverse(error.occurrences));
    for error in errors.iter().take(ERRORS_SHOWN) {
        text += &format!("\n  {} times {} {}: {}", error.occurrences, error.custom_method, error.name, error.error);
    }
    text
}
