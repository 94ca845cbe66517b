//! Tokens that are known by their shape, whoever wrote them where.

use super::{Found, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// What is withheld is the first group, or the whole where there is none.
static SHAPES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // GitHub, GitLab
        r"gh[pousr]_[A-Za-z0-9]{16,}",
        r"github_pat_[A-Za-z0-9_]{16,}",
        r"gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_.-]{16,}",
        // AWS: the id of a key; the key itself looks random
        r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}",
        // Slack
        r"xox[a-z]-[A-Za-z0-9-]{8,}",
        r"xapp-[A-Za-z0-9-]{8,}",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9_/-]+)",
        // JSON Web Tokens
        r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){1,4}",
        // Private keys; one that is cut off goes to its end
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----|\z)",
        r"PuTTY-User-Key-File-[0-9](?s:.*)",
        r"(?i)AGE-SECRET-KEY-1[A-Z0-9]{20,}",
        // Google
        r"AIza[A-Za-z0-9_-]{30,}",
        r"ya29\.[A-Za-z0-9_-]{16,}",
        r"GOCSPX-[A-Za-z0-9_-]{16,}",
        // OpenAI, Anthropic, xAI, Hugging Face
        r"\bsk-[A-Za-z0-9_-]{16,}",
        r"\bxai-[A-Za-z0-9_-]{16,}",
        r"\bhf_[A-Za-z0-9]{16,}",
        // Stripe, npm, SendGrid, Vault, DigitalOcean, Docker, PyPI, Grafana, Cloudflare, Terraform
        r"\b(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}",
        r"\bnpm_[A-Za-z0-9]{16,}",
        r"\bSG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        r"\bhv[sbr]\.[A-Za-z0-9_-]{16,}",
        r"\bdo[opr]_v1_[a-f0-9]{16,}",
        r"\bdckr_pat_[A-Za-z0-9_-]{16,}",
        r"\bpypi-[A-Za-z0-9_-]{16,}",
        r"\bgl(?:sa|c)_[A-Za-z0-9_=+/-]{16,}",
        r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{16,}",
        // SOPS: what is encrypted is nobody's to read, and noise
        r"ENC\[[A-Z0-9_]+,[^\]\n]*\]",
        // A user's password in an address, and a token in the user's place
        r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'\x22]*:([^\s/@'\x22]+)@",
        r"[A-Za-z][A-Za-z0-9+.-]*://([^\s/:@'\x22]{16,})@",
        // Hashes of passwords, as in htpasswd and shadow; what other tools keep in files of their own
        r"\$(?:2[abxy]|apr1|1|5|6|y|argon2[a-z]{0,2})\$[^\s:'\x22]{12,}",
        r"(?i)\blogin\s+\S+\s+password\s+(\S+)",
        r"\x22auth\x22\s*:\s*\x22([A-Za-z0-9+/=_-]{8,})\x22",
        r"(?i)<[a-z0-9:_-]*(?:password|passwd|secret|token|apikey)>([^<\n]+)<",
        r"(?i)--[a-z0-9-]*(?:password|passwd|passphrase|secret|token|api-key)[ \t]+([^\s'\x22-][^\s'\x22]*)",
        // Headers
        r"(?i)\bauthorization['\x22]?\s*[:=]\s*['\x22]?(?:[a-z]+ +)?([^\s'\x22,]{4,})",
        r"(?i)\b(?:bearer|basic) +([A-Za-z0-9._~+/=-]*[0-9][A-Za-z0-9._~+/=-]*)",
    ]
    .map(pattern)
    .into()
});

/// Every token of a known shape.
pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    for shape in SHAPES.iter() {
        found.extend(shape.captures_iter(text).filter_map(|captures| captures.get(1).or_else(|| captures.get(0))).map(|hit| Found::at(hit.range())));
    }
}
