//! The migrations, which have the same version numbers on both databases.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// A migration's version, name and statements.
pub(super) type MigrationText = (i64, &'static str, &'static str);

/// Makes the migrator by hand: sqlx's `migrate!` would need its macros, and with them a second copy
/// of the TLS library for the build.
pub(super) fn migrator(migrations: &[MigrationText]) -> Migrator {
    let migration = |&(version, name, sql): &MigrationText| {
        // The checksum covers the line ends, which depend on the checkout that the program was
        // built from. A replica refuses a schema with another checksum.
        let sql = AssertSqlSafe(sql.replace("\r\n", "\n")).into_sql_str();
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
    // During a rolling upgrade, replicas of this release meet the schema of the next one.
    migrator.set_ignore_missing(true);
    migrator
}

/// The newest version among them.
pub(super) fn newest(migrations: &[MigrationText]) -> Option<i64> {
    migrations.last().map(|(version, ..)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_equal_when_line_ends_differ() {
        let [unix, windows] =
            ["SELECT 1;\n\nSELECT 'x\ny';\n", "SELECT 1;\r\n\r\nSELECT 'x\r\ny';\r\n"]
                .map(|sql| migrator(&[(1, "initial", sql)]));
        let [unix, windows] =
            [&unix, &windows].map(|migrator| migrator.iter().next().expect("a migration"));
        assert_eq!(unix.checksum, windows.checksum);
        assert_eq!(unix.sql.as_str(), windows.sql.as_str());
    }
}
