//! The recorder of the service's metrics.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histogram's buckets, in seconds: from a list in memory to the first read of
/// a new topic.
const BUCKETS: [f64; 8] = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Installs the recorder that `/metrics` renders.
///
/// # Errors
/// If another recorder is installed.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?)
}
