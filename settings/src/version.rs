//! The text of `--version`.

/// The commit that was built, if the build was told.
pub const REVISION: Option<&str> = option_env!("REVISION");

/// The version of the workspace, the revision, and the target that the program was built for.
#[must_use]
pub fn version() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!(
        "{} (revision {}, {}-{}-{libc})",
        env!("CARGO_PKG_VERSION"),
        REVISION.unwrap_or("unknown"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_says_version_revision_and_target() {
        let text = version();
        let (version, build) = text.split_once(" (revision ").expect("a revision");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        let (revision, target) = build.split_once(", ").expect("a target");
        assert_eq!(revision, REVISION.unwrap_or("unknown"));
        assert!(target.starts_with(std::env::consts::ARCH) && target.ends_with(')'), "{text}");
    }
}
