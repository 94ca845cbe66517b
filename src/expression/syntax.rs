//! The parser's complaints about an expression in words. Its own name what it would have taken, which helps who knows its grammar; the
//! slips that everybody makes once are told with what CEL writes instead. It looks at the text alone and changes no verdict.

/// The parser's complaint about `source` in words, with the mend where the slip is a known one.
pub(super) fn told(complaint: &str, source: &str) -> String {
    let complaint = complaint.strip_prefix("Syntax error: ").unwrap_or(complaint);
    let found = found(complaint).unwrap_or_default();
    let plain = match complaint.split_once(" expecting ") {
        Some((_, "'<EOF>'" | "<EOF>")) if !found.is_empty() => format!("nothing more is expected where `{found}` stands"),
        Some((before, _)) if found == "<EOF>" || before.contains("<EOF>") => "the expression ends too early".to_owned(),
        _ if complaint.starts_with("missing") => format!("`{found}` is missing"),
        _ if !found.is_empty() => format!("`{found}` is not expected here"),
        _ => complaint.to_owned(),
    };
    match mend(complaint, found, source) {
        Some(mend) => format!("{plain}; {mend}"),
        None => plain,
    }
}

/// The text that the parser stumbled over: what stands in its first quotes.
fn found(complaint: &str) -> Option<&str> {
    let (_, rest) = complaint.split_once('\'')?;
    let end = rest.find("' at '").or_else(|| rest.find("' expecting")).or_else(|| rest.rfind('\''))?;
    rest.get(..end).map(str::trim)
}

fn mend(complaint: &str, found: &str, source: &str) -> Option<String> {
    if complaint.starts_with("token recognition error") && found.starts_with('=') {
        return Some("values are compared with `==`".to_owned());
    }
    let unit = found.trim_start_matches(|c: char| c.is_ascii_digit());
    match found.to_ascii_lowercase().as_str() {
        "and" => Some("CEL writes `&&` for \"and\"".to_owned()),
        "or" => Some("CEL writes `||` for \"or\"".to_owned()),
        _ if source.trim_start().starts_with("not ") => Some("CEL writes `!` for \"not\"".to_owned()),
        "is" => Some("values are compared with `==`".to_owned()),
        _ if is_amount(unit) && source.contains(|c: char| c.is_ascii_digit()) => {
            Some("an amount is a text in quotes, with a unit of Kubernetes': \"'512Mi'\", \"'2Gi'\", \"'500m'\"".to_owned())
        }
        _ if !source.contains(['"', '\'']) && reads_like_text(source) => {
            Some(format!("a text is quoted once more, because the first quotes are YAML's: \"'{}'\"", shortened(source)))
        }
        _ => None,
    }
}

/// Whether a word is a unit of memory, as Kubernetes writes it or not.
fn is_amount(word: &str) -> bool {
    ["K", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]
        .iter()
        .any(|unit| unit.eq_ignore_ascii_case(word))
}

/// Whether the whole is words, addresses and the like, with nothing that calculates.
fn reads_like_text(source: &str) -> bool {
    let operators = ["==", "!=", "&&", "||", "<", ">", "(", "[", "{", "?", "+"];
    !operators.iter().any(|operator| source.contains(operator))
}

fn shortened(source: &str) -> String {
    let line = source.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= 40 { line.to_owned() } else { line.chars().take(40).chain(['…']).collect() }
}
