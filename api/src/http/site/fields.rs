//! Fields of forms.

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) placeholder: &'static str,
    /// The meaning, and the accepted values.
    pub(super) help: String,
    pub(super) fault: Option<String>,
    /// Of a field with a fixed choice: value, name, whether it is chosen.
    pub(super) options: Vec<(String, String, bool)>,
    /// Values to propose.
    pub(super) proposals: Vec<String>,
    pub(super) is_long: bool,
}

/// The options of a field. The default one sends nothing.
pub(super) fn choice(choices: &[&str], default: &str, value: &str) -> Vec<(String, String, bool)> {
    let option = |choice: &&str| {
        let own = if *choice == default { "" } else { *choice };
        let is_chosen = value == *choice || own.is_empty() && value.is_empty();
        (own.to_owned(), in_words(choice), is_chosen)
    };
    let mut options: Vec<_> = choices.iter().map(option).collect();
    // A value that is refused stays in the form, beside its fault.
    if !value.is_empty() && !choices.contains(&value) {
        options.push((value.to_owned(), value.to_owned(), true));
    }
    options
}

fn in_words(choice: &str) -> String {
    match choice {
        "1d" => "1 day".to_owned(),
        "7d" | "30d" | "90d" => choice.replace('d', " days"),
        "1y" => "1 year".to_owned(),
        "gained" => "stars gained".to_owned(),
        "true" => "yes".to_owned(),
        "false" => "no".to_owned(),
        _ => choice.to_owned(),
    }
}
