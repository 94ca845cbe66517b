//! Says to PostgreSQL what a statement says to SQLite. It knows the few places where the two differ in what the store's own
//! statements use, nothing of SQL beyond that, and sees no text from outside: values are bound.
//! What SQLite has as functions (`json_each`, `max` of two values, `typeof`), the schema for PostgreSQL defines.

/// The statement in PostgreSQL's words: `?` becomes `$1`, hints about indexes go, and a join whose order SQLite shall keep is a join.
pub(super) fn to_postgres(text: &str) -> String {
    let mut said = String::with_capacity(text.len() + 16);
    let (mut rest, mut values) = (text, 0_usize);
    while let Some(next) = rest.chars().next() {
        match next {
            '\'' => rest = quoted(rest, &mut said),
            '?' => {
                let digits = rest[1..].chars().take_while(char::is_ascii_digit).count();
                let number = rest[1..=digits].parse().unwrap_or(values + 1);
                values = values.max(number);
                said.push('$');
                said.push_str(&number.to_string());
                rest = &rest[1 + digits..];
            }
            ' ' => rest = word(rest, &mut said),
            other => {
                said.push(other);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    said
}

/// Passes a text in quotes on as it stands; tells what follows it. `''` is an end and a beginning.
fn quoted<'t>(rest: &'t str, said: &mut String) -> &'t str {
    let end = rest[1..].find('\'').map_or(rest.len(), |end| end + 2);
    said.push_str(&rest[..end]);
    &rest[end..]
}

/// What begins with a blank: a hint is left out.
fn word<'t>(rest: &'t str, said: &mut String) -> &'t str {
    if let Some(after) = rest.strip_prefix(" NOT INDEXED") {
        return after;
    }
    if let Some(after) = rest.strip_prefix(" INDEXED BY ") {
        return &after[after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())..];
    }
    if let Some(after) = rest.strip_prefix(" CROSS JOIN ") {
        said.push_str(" JOIN ");
        return after;
    }
    said.push(' ');
    &rest[1..]
}

/// A text as PostgreSQL keeps it: it has no character U+0000, so the one that stands for what cannot be shown takes its place.
pub(in crate::store) fn text(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_says_the_same_in_the_other_words() {
        for (sqlite, postgres) in [
            ("SELECT 1 WHERE a = ? AND b = ?", "SELECT 1 WHERE a = $1 AND b = $2"),
            ("SELECT ?2, ?1, ?", "SELECT $2, $1, $3"),
            ("VALUES (?,?),(?,?)", "VALUES ($1,$2),($3,$4)"),
            ("SELECT '?''?' WHERE a = ?", "SELECT '?''?' WHERE a = $1"),
            ("FROM a INDEXED BY a_b WHERE c = ?", "FROM a WHERE c = $1"),
            ("FROM a d NOT INDEXED WHERE c = ?", "FROM a d WHERE c = $1"),
            ("FROM a INDEXED BY a_b", "FROM a"),
            ("FROM a CROSS JOIN b ON b.c = a.c", "FROM a JOIN b ON b.c = a.c"),
        ] {
            assert_eq!(to_postgres(sqlite), postgres);
        }
    }

    #[test]
    fn a_text_has_no_character_that_postgresql_does_not_know() {
        assert_eq!(text("a\0b".to_owned()), "a\u{fffd}b");
    }
}
