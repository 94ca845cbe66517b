//! From the bytes on the wire to the bytes of JSON: content type, character set, content encoding, the field of a form.
//! It never unpacks more than it is allowed to.

use super::{Headers, IngressError, Oversized};
use std::{borrow::Cow, io::Read};

/// What a form with a body's JSON in one of its fields is sent as. <https://url.spec.whatwg.org/#application/x-www-form-urlencoded>
const FORM: &str = "application/x-www-form-urlencoded";

/// Refuses content types that are not JSON in UTF-8, or a form with it where the kind has one. A missing type counts as JSON: a
/// sender of anything else says so.
pub(super) fn check_content_type(headers: &dyn Headers, form_field: Option<&str>) -> Result<(), IngressError> {
    let Some(value) = headers.get("content-type") else { return Ok(()) };
    let text = String::from_utf8_lossy(value);
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        matches!(essence.as_str(), "" | "application/json" | "text/json") || (essence.starts_with("application/") && essence.ends_with("+json"));
    let form = form_field.is_some() && essence == FORM;
    if !json && !form {
        let essence: String = essence.chars().take(80).collect();
        return Err(IngressError::UnsupportedMedia(format!("the content type is {essence:?}; application/json is read")));
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
            return Err(IngressError::UnsupportedMedia("the character set of JSON is UTF-8".to_owned()));
        }
    }
    Ok(())
}

/// Whether the body is packed with gzip.
///
/// # Errors
/// Any other encoding, and gzip where the source does not allow it.
pub(super) fn is_packed(headers: &dyn Headers, gzip_limit: Option<u64>) -> Result<bool, IngressError> {
    let encoding = headers.get("content-encoding").map(<[u8]>::trim_ascii).unwrap_or_default();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
        Ok(false)
    } else if !(encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip")) {
        Err(IngressError::UnsupportedMedia("the content encoding is not one that is read; send the body as it is".to_owned()))
    } else if gzip_limit.is_none() {
        Err(IngressError::UnsupportedMedia("this source does not take gzip; send the body as it is".to_owned()))
    } else {
        Ok(true)
    }
}

/// The body as JSON bytes: as sent, or unpacked when the headers say gzip and `gzip_limit` (bytes) allows it.
pub(super) fn unpack<'a>(headers: &dyn Headers, body: &'a [u8], gzip_limit: Option<u64>) -> Result<Cow<'a, [u8]>, IngressError> {
    let (true, Some(limit)) = (is_packed(headers, gzip_limit)?, gzip_limit) else { return Ok(Cow::Borrowed(body)) };
    let mut unpacked = Vec::new();
    let read = flate2::bufread::MultiGzDecoder::new(body).take(limit.saturating_add(1)).read_to_end(&mut unpacked);
    match read {
        Err(_) => Err(IngressError::Unreadable { message: "the bytes are not whole and valid gzip".to_owned(), line: 1, column: 0 }),
        Ok(_) if unpacked.len() as u64 > limit => Err(IngressError::TooLarge { what: Oversized::Unpacked, limit }),
        Ok(_) => Ok(Cow::Owned(unpacked)),
    }
}

/// The JSON of a body that is a form, where the headers say so and the kind has such a field; any other body as it is.
///
/// The form holds this field and nothing else. The content type is not signed: were other fields passed over, somebody who has a
/// text of his own in a signed JSON body (`...&payload=...`) could have it read as a form, and his text as the whole of it.
pub(super) fn out_of_form<'a>(headers: &dyn Headers, body: Cow<'a, [u8]>, field: Option<&str>) -> Result<Cow<'a, [u8]>, IngressError> {
    let essence = |value: &[u8]| value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(FORM.as_bytes());
    let (Some(field), true) = (field, headers.get("content-type").is_some_and(essence)) else { return Ok(body) };
    let unreadable = |message: String, at: usize| IngressError::Unreadable { message, line: 1, column: at + 1 };
    let Some(value) = body.strip_prefix(field.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) else {
        return Err(unreadable(format!("the form does not begin with `{field}=`"), 0));
    };
    let start = body.len() - value.len();
    let mut json = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        let (byte, length) = match byte {
            b'&' => return Err(unreadable(format!("the form has another field than `{field}`"), start + at)),
            b'+' => (b' ', 1),
            b'%' => {
                let mut decoded = [0];
                let digits = value.get(at + 1..at + 3).unwrap_or_default();
                hex::decode_to_slice(digits, &mut decoded).map_err(|_| unreadable("after `%` come two hexadecimal digits".to_owned(), start + at))?;
                (decoded[0], 3)
            }
            plain => (*plain, 1),
        };
        json.push(byte);
        at += length;
    }
    Ok(Cow::Owned(json))
}
