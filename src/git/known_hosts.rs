//! Whether a host's key is among the known ones, for libgit2, which knows but the file of whoever runs this process.
//! Lines as `sshd(8)` describes `known_hosts`. Certificates of authorities are not read: such a line vouches for nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// What the lines say of a host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// The lines name the host with other keys, of these types; or not at all.
    Unknown(Vec<String>),
    Revoked,
}

/// Looks for `key` (the public key's bytes as SSH sends them) of `host` at `port`.
pub(super) fn judge(lines: &str, host: &str, port: u16, key: &[u8]) -> Verdict {
    let (host, with_port) = (host.to_ascii_lowercase(), format!("[{}]:{port}", host.to_ascii_lowercase()));
    let (mut known, mut others) = (false, Vec::new());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let (Some(hosts), Some(kind), Some(listed)) = (words.next(), words.next(), words.next()) else { continue };
        // A host at a port of its own is also known by its name alone, as OpenSSH has it.
        if !names(hosts, &with_port) && !names(hosts, &host) {
            continue;
        }
        let same = STANDARD.decode(listed).is_ok_and(|listed| listed == key);
        match marker {
            Some("@revoked") if same => return Verdict::Revoked,
            Some(_) => {}
            None if same => known = true,
            None => others.push(kind.to_owned()),
        }
    }
    if known { Verdict::Known } else { Verdict::Unknown(others) }
}

/// Whether a line's hosts mean this one: patterns with `*` and `?`, separated by commas, `!` before one that must not fit; or
/// one hashed name, `|1|salt|HMAC-SHA1(salt, name)`.
fn names(hosts: &str, host: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        let Some((salt, digest)) = hashed.split_once('|') else { return false };
        let (Ok(salt), Ok(digest)) = (STANDARD.decode(salt), STANDARD.decode(digest)) else { return false };
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
        mac.update(host.as_bytes());
        return mac.verify_slice(&digest).is_ok();
    }
    let fits = |pattern: &str| matches(pattern.to_ascii_lowercase().as_bytes(), host.as_bytes());
    let (no, yes): (Vec<&str>, Vec<&str>) = hosts.split(',').partition(|pattern| pattern.starts_with('!'));
    yes.into_iter().any(fits) && !no.into_iter().any(|pattern| fits(&pattern[1..]))
}

/// Whether a pattern fits the whole text. Going back to the last star alone keeps it linear in pattern times text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\0\0\0\x0bssh-ed25519 and so on";

    fn line(hosts: &str) -> String {
        format!("{hosts} ssh-ed25519 {} a comment\n", STANDARD.encode(KEY))
    }

    #[test]
    fn a_host_is_known_by_name_pattern_and_port() {
        let known = |hosts: &str, host: &str, port| judge(&line(hosts), host, port, KEY) == Verdict::Known;
        for (hosts, host, port) in [
            ("git.example", "git.example", 22),
            ("git.example", "GIT.example", 22),
            ("a.example,git.example,10.0.0.1", "git.example", 22),
            ("*.example", "git.example", 22),
            ("g?t.ex*le", "git.example", 22),
            ("[git.example]:2222", "git.example", 2222),
            ("git.example", "git.example", 2222),
            ("[*]:2222", "git.example", 2222),
        ] {
            assert!(known(hosts, host, port), "{hosts} {host}:{port}");
        }
        for (hosts, host, port) in [
            ("git.example", "git.example.evil", 22),
            ("*.example", "example", 22),
            ("*.example,!git.example", "git.example", 22),
            ("[git.example]:2222", "git.example", 22),
            ("[git.example]:2222", "git.example", 2223),
            ("@cert-authority *.example", "git.example", 22),
            ("|1|garbage", "git.example", 22),
            ("", "git.example", 22),
        ] {
            assert!(!known(hosts, host, port), "{hosts} {host}:{port}");
        }
    }

    #[test]
    fn a_revoked_key_is_revoked_wherever_its_line_stands_and_another_key_is_told_by_its_type() {
        let lines = format!("{}@revoked {}", line("git.example"), line("*"));
        assert_eq!(judge(&lines, "git.example", 22, KEY), Verdict::Revoked);
        assert_eq!(judge(&line("git.example"), "git.example", 22, b"another"), Verdict::Unknown(vec!["ssh-ed25519".to_owned()]));
        assert_eq!(judge(&line("git.example"), "other.example", 22, KEY), Verdict::Unknown(Vec::new()));
    }

    #[test]
    fn names_that_ssh_keygen_hashed_are_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("known_hosts");
        // A real public key, because ssh-keygen keeps what it cannot read as it is.
        let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(directory.path().join("key")).status();
        assert!(made.expect("ssh-keygen").success());
        let public = std::fs::read_to_string(directory.path().join("key.pub")).expect("a key");
        let mut words = public.split(' ').skip(1);
        let key = STANDARD.decode(words.next().expect("the key")).expect("base64");
        std::fs::write(&file, format!("[git.example]:2222 {public}")).expect("written");
        assert!(std::process::Command::new("ssh-keygen").args(["-H", "-f"]).arg(&file).output().expect("ssh-keygen").status.success());
        let lines = std::fs::read_to_string(&file).expect("lines");
        assert!(lines.starts_with("|1|"), "{lines}");
        assert_eq!(judge(&lines, "git.example", 2222, &key), Verdict::Known);
        assert_eq!(judge(&lines, "git.example", 22, &key), Verdict::Unknown(Vec::new()));
    }
}
