//! The little JQL that is asked here: comparisons of a few fields joined with AND, and an order.

use super::issues::FakeIssue;

/// A query, read.
pub(super) struct Query {
    clauses: Vec<(String, String, Vec<String>)>,
    /// By this field, and whether the latest is first.
    order: Option<(String, bool)>,
}

impl Query {
    /// Reads a query.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        let mut words = words.into_iter().peekable();
        let mut clauses = Vec::new();
        let mut order = None;
        while let Some((field, _)) = words.next() {
            if field.eq_ignore_ascii_case("order") {
                words.next().filter(|(by, _)| by.eq_ignore_ascii_case("by")).ok_or("BY is wanted after ORDER")?;
                let (field, _) = words.next().ok_or("a field is wanted after ORDER BY")?;
                let direction = words.next().map(|(word, _)| word.to_uppercase());
                order = Some((field.to_lowercase(), direction.as_deref() == Some("DESC")));
                break;
            }
            let (operator, _) = words.next().ok_or("an operator is wanted")?;
            let mut values = Vec::new();
            if operator.eq_ignore_ascii_case("in") {
                words.next().filter(|(open, _)| open == "(").ok_or("( is wanted after IN")?;
                loop {
                    match words.next() {
                        Some((close, false)) if close == ")" => break,
                        Some((comma, false)) if comma == "," => {}
                        Some((value, _)) => values.push(value),
                        None => return Err(") is wanted".to_owned()),
                    }
                }
            } else {
                values.push(words.next().ok_or("a value is wanted")?.0);
            }
            clauses.push((field.to_lowercase(), operator.to_lowercase(), values));
            if words.peek().is_some_and(|(word, _)| word.eq_ignore_ascii_case("and")) {
                words.next();
            }
        }
        Ok(Self { clauses, order })
    }

    /// Whether the issue is one; `now` in seconds since the epoch.
    pub(super) fn holds(&self, issue: &FakeIssue, now: i64) -> Result<bool, String> {
        for (field, operator, values) in &self.clauses {
            let held = match field.as_str() {
                "project" => compare(operator, issue.project(), values)?,
                "status" => compare(operator, &issue.status, values)?,
                "key" | "issuekey" => compare(operator, &issue.key, values)?,
                "labels" => values.iter().any(|value| issue.labels.contains(value)) == (operator != "!="),
                "updated" => {
                    let then = moment(&values[0], now)?;
                    match operator.as_str() {
                        ">=" => issue.updated >= then,
                        ">" => issue.updated > then,
                        "<=" => issue.updated <= then,
                        "<" => issue.updated < then,
                        other => return Err(format!("The operator '{other}' is not supported by the 'updated' field.")),
                    }
                }
                other => return Err(format!("Field '{other}' does not exist or you do not have permission to view it.")),
            };
            if !held {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The keys that are named.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.clauses.iter().filter(|(field, ..)| field == "key" || field == "issuekey").flat_map(|(.., values)| values)
    }

    /// Brings issues into the order asked for.
    pub(super) fn sort(&self, issues: &mut [&FakeIssue]) {
        let Some((field, latest_first)) = &self.order else { return };
        match field.as_str() {
            "updated" => issues.sort_by_key(|issue| (issue.updated, issue.id)),
            _ => issues.sort_by_key(|issue| (issue.id as i64, issue.id)),
        }
        if *latest_first {
            issues.reverse();
        }
    }
}

fn compare(operator: &str, found: &str, values: &[String]) -> Result<bool, String> {
    let same = values.iter().any(|value| value.eq_ignore_ascii_case(found));
    match operator {
        "=" | "in" => Ok(same),
        "!=" => Ok(!same),
        other => Err(format!("The operator '{other}' is not supported.")),
    }
}

/// `-5m`, milliseconds since the epoch, or `2026-11-20 12:00`.
fn moment(text: &str, now: i64) -> Result<i64, String> {
    let wrong = || format!("Date value '{text}' for field 'updated' is invalid.");
    if let Some(ago) = text.strip_prefix('-') {
        let (amount, unit) = ago.split_at(ago.len().saturating_sub(1));
        let seconds = match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(wrong()),
        };
        return amount.parse::<i64>().map(|amount| now - amount * seconds).map_err(|_| wrong());
    }
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(millis / 1000);
    }
    let written = text.replace('/', "-").replace(' ', "T");
    let whole = if written.len() == 10 { format!("{written}T00:00:00Z") } else { format!("{written}:00Z") };
    let read = time::OffsetDateTime::parse(&whole, &time::format_description::well_known::Rfc3339);
    read.map(time::OffsetDateTime::unix_timestamp).map_err(|_| wrong())
}

/// Words, and whether each was quoted.
fn words(text: &str) -> Result<Vec<(String, bool)>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after, quoted) = match first {
            '"' | '\'' => {
                let (mut word, mut end, mut escaped) = (String::new(), None, false);
                for (at, c) in rest.char_indices().skip(1) {
                    match c {
                        _ if escaped => {
                            word.push(c);
                            escaped = false;
                        }
                        '\\' => escaped = true,
                        c if c == first => {
                            end = Some(at + 1);
                            break;
                        }
                        c => word.push(c),
                    }
                }
                (word, end.ok_or("The quoted string has not been completed.")?, true)
            }
            '(' | ')' | ',' => (first.to_string(), 1, false),
            '=' | '!' | '<' | '>' => {
                let end = rest.find(|c: char| !"=!<>".contains(c)).unwrap_or(rest.len());
                (rest[..end].to_owned(), end, false)
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "=!<>(),\"".contains(c)).unwrap_or(rest.len());
                (rest[..end].to_owned(), end, false)
            }
        };
        out.push((word, quoted));
        rest = rest[after..].trim_start();
    }
    Ok(out)
}
