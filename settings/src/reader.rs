//! Reads the settings of a table and collects every problem, so that one start names them all.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use crate::{Setting, Source};

/// The exit code of programs that were called wrongly; clap's too.
const INVALID_SETTINGS: u8 = 2;

/// One line for each setting that is not accepted.
#[derive(Debug, PartialEq)]
pub struct InvalidSettings(Vec<String>);

impl InvalidSettings {
    /// Prints the problems to standard error and gives the program's exit code, 2.
    pub fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(INVALID_SETTINGS)
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "a setting is wrong:")?,
            count => write!(f, "{count} settings are wrong:")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for InvalidSettings {}

/// Reads settings by name. A problem is noted and reading goes on; [`Reader::finish`] reports all.
pub struct Reader<'a> {
    table: &'static [Setting],
    source: &'a Source<'a>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(table: &'static [Setting], source: &'a Source<'a>) -> Self {
        Self { table, source, problems: Vec::new() }
    }

    /// A setting with a default. `parse` gets the trimmed text and fails with a line on what is
    /// accepted. If it fails, the problem is noted and the default is returned in place of the
    /// value.
    ///
    /// # Panics
    /// If the row of the table has no default that `parse` accepts.
    #[expect(
        clippy::expect_used,
        reason = "defaults are constants; reading an empty environment tests all of them"
    )]
    pub fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        self.optional(name, &parse).unwrap_or_else(|| {
            let default = self.setting(name).default.expect("the row has a default");
            parse(default).expect("the default is accepted")
        })
    }

    /// A setting without a default: `None` if it is unset. If `parse` fails, the problem is noted
    /// and `None` is returned.
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(name)?;
        let text = value.trim();
        let accepted = match parse(text) {
            Ok(value) => return Some(value),
            Err(accepted) => accepted,
        };
        let shown = if self.setting(name).secret {
            "its value (not shown)".to_owned()
        } else {
            format!("{:?}", without_secrets(text))
        };
        self.note(format!("{name}: {shown} is not accepted; give {accepted}"));
        None
    }

    /// The text of a setting, for secrets also from the file that NAME_FILE names. Blank text is
    /// as unset. Spaces at its ends are kept, for a password may have them.
    pub fn value(&mut self, name: &str) -> Option<String> {
        let not_blank = |text: &String| !text.trim().is_empty();
        let value = (self.source)(name).map(|value| value.to_string_lossy().into_owned());
        if let Some(value) = value.filter(not_blank) {
            return Some(value);
        }
        if !self.setting(name).secret {
            return None;
        }
        let file_setting = format!("{name}_FILE");
        let file = (self.source)(&file_setting).filter(|file| !file.is_empty())?;
        match std::fs::read_to_string(Path::new(&file)) {
            Ok(text) => Some(text.trim_end().to_owned()).filter(not_blank),
            Err(error) => {
                let file = file.to_string_lossy();
                self.note(format!("{file_setting}: {file} cannot be read: {error}"));
                None
            }
        }
    }

    /// Notes a problem unless it is noted already, such as two settings that contradict each other.
    pub fn note(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Returns `config` if every setting was accepted.
    ///
    /// # Errors
    /// Every problem noted: the setting's name, its value unless secret, and what is accepted.
    pub fn finish<T>(self, config: T) -> Result<T, InvalidSettings> {
        if self.problems.is_empty() { Ok(config) } else { Err(InvalidSettings(self.problems)) }
    }

    #[expect(
        clippy::expect_used,
        reason = "names are constants; the first read fails if one is wrong"
    )]
    fn setting(&self, name: &str) -> Setting {
        *self.table.iter().find(|setting| setting.name == name).expect("the table has the setting")
    }
}

/// A value without the parts of an address that may hold a password: its user, and its query.
fn without_secrets(text: &str) -> String {
    let text = match text.rsplit_once('@') {
        Some((_, host)) => format!("...@{host}"),
        None => text.to_owned(),
    };
    match text.split_once('?') {
        Some((address, _)) if address.contains('@') || address.contains("//") => {
            format!("{address}?...")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const TABLE: &[Setting] = &[
        Setting::with_default("COUNT", "3", "a number"),
        Setting::optional("LIMIT", "a number"),
        Setting::secret("TOKEN", "a number"),
    ];

    fn number(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| "a number".to_owned())
    }

    type Values = (u8, Option<u8>, Option<u8>);

    fn read(pairs: &[(&str, &str)]) -> Result<Values, InvalidSettings> {
        let source = |name: &str| {
            pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
        };
        let mut reader = Reader::new(TABLE, &source);
        let config = (
            reader.required("COUNT", number),
            reader.optional("LIMIT", number),
            reader.optional("TOKEN", number),
        );
        reader.value("TOKEN");
        reader.finish(config)
    }

    #[test]
    fn blank_settings_are_unset() {
        assert_eq!(read(&[("COUNT", ""), ("LIMIT", " "), ("TOKEN", "\n")]), Ok((3, None, None)));
        assert_eq!(read(&[("COUNT", " 5 "), ("LIMIT", "6")]), Ok((5, Some(6), None)));
    }

    #[test]
    fn problems_are_reported_together_and_secrets_are_not_shown() {
        let pairs = [("COUNT", " many"), ("LIMIT", "-1"), ("TOKEN", "hunter2")];
        let error = read(&pairs).expect_err("none is a number").to_string();
        let expected = "3 settings are wrong:\n  \
             COUNT: \"many\" is not accepted; give a number\n  \
             LIMIT: \"-1\" is not accepted; give a number\n  \
             TOKEN: its value (not shown) is not accepted; give a number";
        assert_eq!(error, expected);
    }

    #[test]
    fn password_of_an_address_is_not_shown() {
        for address in [
            "https://me:hunter2@host/api",
            "htps:/me:hunter2@host",
            "me:hun@ter2@host",
            "https://host?token=hunter2",
        ] {
            let error = read(&[("COUNT", address)]).expect_err("no number").to_string();
            assert!(!error.contains("ter2") && error.contains("host"), "{error}");
        }
        let error = read(&[("COUNT", "*/5 ? * * *")]).expect_err("no number").to_string();
        assert!(error.contains("\"*/5 ? * * *\""), "{error}");
    }

    #[test]
    fn required_gives_the_default_if_the_value_is_not_accepted() {
        let source = |_: &str| Some(OsString::from("many"));
        assert_eq!(Reader::new(TABLE, &source).required("COUNT", number), 3);
    }

    #[test]
    fn secrets_are_read_from_files_if_they_are_unset() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&file, "7\n").expect("written");
        let path = file.path().to_string_lossy();
        assert_eq!(read(&[("TOKEN_FILE", &path)]), Ok((3, None, Some(7))));
        assert_eq!(read(&[("TOKEN", "8"), ("TOKEN_FILE", &path)]), Ok((3, None, Some(8))));
        assert_eq!(read(&[("LIMIT_FILE", &path)]), Ok((3, None, None)), "LIMIT is no secret");
    }

    #[test]
    fn an_unreadable_file_is_reported_once() {
        let error = read(&[("TOKEN_FILE", "/nowhere")]).expect_err("no such file").to_string();
        assert!(error.starts_with("a setting is wrong:\n  TOKEN_FILE: /nowhere cannot"), "{error}");
        assert_eq!(error.matches("/nowhere").count(), 1, "{error}");
    }
}
