//! An incoming webhook of Slack, or of whoever takes its form. The URL is the secret: it is asked for freshly, checked, and stands in no
//! error. Nothing in a text mentions anybody.

use super::http::Http;
use super::markdown::{self, Block, Inline, Marks, cut, web_address};
use super::{FeedbackError, Makings, Notice, Notifier, SecretSource};
use crate::types::{ChannelName, is_loopback};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

/// Characters of a header block, and of a section's text.
const MAX_TITLE: usize = 150;
const MAX_TEXT: usize = 3_000;

/// One channel of Slack.
pub struct Slack {
    http: Http,
    secret: SecretSource,
}

impl Slack {
    /// A channel; nothing is called yet.
    ///
    /// # Errors
    /// [`FeedbackError::Setup`] when the settings make no client.
    pub fn new(name: &ChannelName, makings: Makings) -> Result<Self, FeedbackError> {
        let http = Http::new(format!("Slack (channel {name})"), false, makings.clock, makings.timeout)?;
        Ok(Self { http, secret: makings.secret })
    }

    /// The URL, as it is now.
    fn url(&self) -> Result<Url, FeedbackError> {
        let secret = (self.secret)().map_err(|message| self.http.setup(format!("there is no URL: {message}")))?;
        address_in(&secret).ok_or_else(|| self.http.setup("the secret holds no URL that begins with https://"))
    }
}

/// The URL that a secret holds; none where it may not be called.
pub(super) fn address_in(secret: &SecretString) -> Option<Url> {
    let safe = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
    Url::parse(secret.expose_secret().trim()).ok().filter(safe)
}

#[async_trait]
impl Notifier for Slack {
    async fn notify(&self, notice: &Notice) -> Result<(), FeedbackError> {
        let request = self.http.client().post(self.url()?).json(&message(notice));
        let answer = self.http.send(request).await?;
        if answer.is_success() {
            return Ok(());
        }
        let message = answer.word().map_or_else(|| format!("status {}", answer.status), str::to_owned);
        Err(self.http.refused(answer.status, message))
    }
}

fn message(notice: &Notice) -> Value {
    let title = cut(&notice.title, MAX_TITLE);
    let text = markdown::bounded(&notice.text, MAX_TEXT, |found| blocks(found, ""), |text| text.chars().count());
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": title, "emoji": false } }),
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } }),
    ];
    if let Some(url) = web_address(&notice.url) {
        let link = format!("<{}|More>", address(&url));
        blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": link, "verbatim": true }] }));
    }
    // What a notification on a telephone shows, and whoever knows no blocks.
    json!({ "text": escaped(&title), "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

fn blocks(found: &[Block], indent: &str) -> String {
    let text = |block: &Block| match block {
        Block::Paragraph(text) => format!("{indent}{}", inlines(text)),
        Block::Heading(_, text) => format!("{indent}*{}*", inlines(text).replace('*', "")),
        Block::Code { text, .. } => format!("```\n{}\n```", escaped(text).replace("```", "'''")),
        Block::List { start, items } => {
            let item = |(at, item): (usize, &Vec<Block>)| {
                let sign = start.map_or_else(|| "•".to_owned(), |start| format!("{}.", start.saturating_add(at as u64)));
                format!("{indent}{sign} {}", blocks(item, &format!("{indent}    ")).trim_start())
            };
            items.iter().enumerate().map(item).collect::<Vec<_>>().join("\n")
        }
        Block::Quote(within) => blocks(within, "").lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n"),
        Block::Table { head, rows } => {
            let row = |cells: &Vec<Vec<Inline>>| cells.iter().map(|cell| inlines(cell)).collect::<Vec<_>>().join(" | ");
            std::iter::once(head).chain(rows).map(row).collect::<Vec<_>>().join("\n")
        }
        Block::Rule => "———".to_owned(),
    };
    found.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn inlines(text: &[Inline]) -> String {
    let piece = |inline: &Inline| match inline {
        Inline::Break => "\n".to_owned(),
        Inline::Text(text, Marks { link: Some(link), .. }) => format!("<{}|{}>", address(link), escaped(text).replace('|', "¦")),
        Inline::Text(text, Marks { code: true, .. }) => format!("`{}`", escaped(text).replace('`', "'")),
        Inline::Text(text, Marks { strong: true, .. }) if text.trim() == text => format!("*{}*", escaped(text)),
        Inline::Text(text, _) => escaped(text),
    };
    text.iter().map(piece).collect()
}

/// The three characters that mean something to Slack; `<!channel>` and `<@U1>` are words after that.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn address(url: &str) -> String {
    url.replace('|', "%7C").replace('<', "%3C").replace('>', "%3E")
}
