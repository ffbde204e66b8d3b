//! The settings table, and the flags that clap makes of it.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command, value_parser};

/// A row of a program's settings table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable; its flag is the same in lower case with hyphens.
    pub name: &'static str,
    /// The value of a setting that is unset or empty.
    pub default: Option<&'static str>,
    /// A secret has no flag and is never shown, and NAME_FILE may name a file that holds it.
    pub secret: bool,
    /// One line for `--help` and the README.
    pub help: &'static str,
}

impl Setting {
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, default: Some(default), secret: false, help }
    }

    pub const fn optional(name: &'static str, help: &'static str) -> Self {
        Self { name, default: None, secret: false, help }
    }

    pub const fn secret(name: &'static str, help: &'static str) -> Self {
        Self { name, default: None, secret: true, help }
    }

    fn flag(&self) -> Arg {
        let default =
            self.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        Arg::new(self.name)
            .long(self.name.to_ascii_lowercase().replace('_', "-"))
            .value_name("VALUE")
            .value_parser(value_parser!(OsString))
            .global(true)
            .help(format!("{}{default}", self.help))
    }
}

/// A function that gives a setting's raw value by its name; `None` if it is unset.
pub type Source<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Adds a flag for each setting that is not a secret, and names the secrets at the end of the help.
pub fn with_flags(command: Command, table: &[Setting]) -> Command {
    let (secrets, flags): (Vec<&Setting>, Vec<&Setting>) =
        table.iter().partition(|setting| setting.secret);
    let example = flags.first().map_or("NAME", |setting| setting.name);
    let secrets: Vec<&str> = secrets.iter().map(|setting| setting.name).collect();
    command.args(flags.into_iter().map(Setting::flag)).after_help(format!(
        "Each flag can also be set by an environment variable ({example}); the flag wins. Secrets \
         have no flag: set them in the environment, or in a file that NAME_FILE names: {}.",
        secrets.join(", ")
    ))
}

/// The source of a program: its flags first, then the environment.
pub fn source(matches: &ArgMatches) -> impl Fn(&str) -> Option<OsString> {
    |name| {
        let flag = matches.try_get_one::<OsString>(name).ok().flatten().cloned();
        flag.or_else(|| std::env::var_os(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Setting] = &[
        Setting::with_default("TEST_ADDR", "127.0.0.1:1", "an address"),
        Setting::optional("TEST_FOLDER", "a folder"),
        Setting::secret("TEST_TOKEN", "a token"),
    ];

    fn command() -> Command {
        with_flags(Command::new("test"), TABLE).subcommand(Command::new("check"))
    }

    #[test]
    fn flags_are_read_before_and_after_a_subcommand() {
        for arguments in
            [["test", "--test-addr", "here", "check"], ["test", "check", "--test-addr", "here"]]
        {
            let matches = command().get_matches_from(arguments);
            let flags = matches.subcommand_matches("check").expect("the subcommand");
            assert_eq!(source(flags)("TEST_ADDR"), Some("here".into()));
            assert_eq!(source(flags)("TEST_FOLDER"), None);
        }
    }

    #[test]
    fn help_shows_defaults_and_names_secrets_which_have_no_flag() {
        let help = command().render_help().to_string();
        assert!(help.contains("an address [default: 127.0.0.1:1]"), "{help}");
        assert!(help.contains("a folder\n") && help.contains("NAME_FILE names: TEST_TOKEN."));
        assert!(command().try_get_matches_from(["test", "--test-token", "x"]).is_err());
    }
}
