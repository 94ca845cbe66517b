//! The statements of a migration, one by one. It knows what our own migrations have: comments, texts in quotes, triggers.
//! It never sees a text from outside.

/// The statements of a script, without the comments before them.
pub(super) fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = beginning(script);
    while !rest.is_empty() {
        let end = end(rest);
        found.push(rest[..end].to_owned());
        rest = beginning(&rest[end..]);
    }
    found
}

/// What follows blanks and comments.
fn beginning(mut script: &str) -> &str {
    loop {
        script = script.trim_start();
        match script.strip_prefix("--") {
            Some(comment) => script = comment.split_once('\n').map_or("", |(_, after)| after),
            None => return script,
        }
    }
}

/// Where the first statement ends, its semicolon included. That of a trigger has further statements in it, up to `END;`.
fn end(script: &str) -> usize {
    let is_trigger = script.starts_with("CREATE TRIGGER");
    let (mut at, mut is_quoted) = (0, false);
    while let Some(next) = script[at..].chars().next() {
        match next {
            '\'' => is_quoted = !is_quoted,
            '-' if !is_quoted && script[at..].starts_with("--") => {
                at += script[at..].find('\n').unwrap_or(script.len() - at);
                continue;
            }
            ';' if !is_quoted && (!is_trigger || script[..at].trim_end().ends_with("\nEND")) => return at + 1,
            _ => {}
        }
        at += next.len_utf8();
    }
    script.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_falls_into_its_statements() {
        let script = "-- First; not yet.\nPRAGMA a = 1;\n\nCREATE TABLE b ( -- why; indeed\n c TEXT DEFAULT 'd;''e--'\n);\n\
            CREATE TRIGGER f AFTER INSERT ON b BEGIN\n UPDATE b SET c = CASE WHEN 1 THEN 2 END;\n DELETE FROM b;\nEND;\nINSERT INTO b VALUES (1)";
        let found = statements(script);
        let begin: Vec<&str> = found.iter().map(|statement| statement.split(' ').take(2).last().unwrap_or_default()).collect();
        assert_eq!((found.len(), begin), (4, vec!["a", "TABLE", "TRIGGER", "INTO"]), "{found:#?}");
        assert!(found[2].ends_with("\nEND;") && found[1].ends_with(");"), "{found:#?}");
        assert!(statements("-- nothing\n").is_empty());
    }

    #[test]
    fn nothing_of_a_migration_is_left_out() {
        for migration in super::super::migrations::MIGRATIONS.iter() {
            let found = statements(migration.sql.as_str());
            let triggers = migration.sql.as_str().matches("\nCREATE TRIGGER").count();
            assert_eq!(found.iter().filter(|statement| statement.starts_with("CREATE TRIGGER")).count(), triggers);
            assert!(found.iter().all(|statement| statement.ends_with(';')));
        }
    }
}
