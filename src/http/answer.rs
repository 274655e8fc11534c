//! An answer, read whole and within limits: everything that comes is hostile until then.

use std::io::Read;
use std::time::Duration;

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED,
    TRANSFER_ENCODING,
};
use reqwest::{RequestBuilder, Response, StatusCode, Version};
use tokio::time::timeout;

use super::{HttpError, explain, refused, retry_after};

/// The most that is read of a bundle, as it comes and when it is unpacked, in bytes.
pub const LIMIT: usize = crate::decode::MAX_FILE_BYTES;

/// The most memory that unpacking asks for, as a power of two (RFC 9659).
const WINDOW_LOG: u32 = 23;

/// What a server answers.
#[derive(Debug)]
pub enum Answer {
    /// What it said before still holds.
    Unchanged,
    /// This.
    Body {
        /// All of it, unpacked.
        bytes: Vec<u8>,
        /// What to name when asking whether it has changed.
        etag: Option<String>,
        /// The same for servers that know no ETag.
        last_modified: Option<String>,
    },
}

/// Sends a request and reads the answer; `wait`: how much longer than usual the server may take to
/// begin it. Says too whether the server waits for something new, as it may be asked to (RFC 7240).
///
/// # Errors
/// There is no whole answer of a kind that can hold documents, of `limit` bytes at most.
pub async fn read(
    request: RequestBuilder,
    patience: Duration,
    wait: Duration,
    limit: usize,
) -> Result<(Answer, bool), HttpError> {
    let sent = timeout(patience.saturating_add(wait), request.send()).await;
    let response = sent
        .map_err(|_| HttpError::late("begin its answer"))?
        .map_err(|error| explain(&error.without_url()))?;
    let headers = response.headers();
    let waits = header(headers, HeaderName::from_static("preference-applied"))
        .is_some_and(|applied| applied.split(',').any(|one| one.trim().starts_with("wait")));
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED => return Ok((Answer::Unchanged, waits)),
        status => {
            return Err(HttpError { retry_after: retry_after(headers), ..refused(status) });
        }
    }
    check_kind(&response)?;
    let (etag, last_modified) = (header(headers, ETAG), header(headers, LAST_MODIFIED));
    let encoding = header(headers, CONTENT_ENCODING).unwrap_or_default();
    let packed = timeout(patience, body(response, limit))
        .await
        .map_err(|_| HttpError::late("end its answer"))??;
    let bytes = unpack(&encoding, packed, limit)?;
    if bytes.is_empty() {
        return Err(HttpError::new("AnswerEmpty", "the answer is empty"));
    }
    Ok((Answer::Body { bytes, etag, last_modified }, waits))
}

/// Sends a request of whose answer nothing but its status matters.
///
/// # Errors
/// The server does not say in time that all is well.
pub async fn send(request: RequestBuilder, patience: Duration) -> Result<(), HttpError> {
    let sent = timeout(patience, request.send()).await;
    let response = sent
        .map_err(|_| HttpError::late("answer"))?
        .map_err(|error| explain(&error.without_url()))?;
    if response.status().is_success() {
        return Ok(());
    }
    let retry_after = retry_after(response.headers());
    Err(HttpError { retry_after, ..refused(response.status()) })
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A page for people, as of a proxy that wants a login, is no bundle; and what does not say where
/// it ends could have been cut off unseen (rule D5).
fn check_kind(response: &Response) -> Result<(), HttpError> {
    let headers = response.headers();
    let kind = header(headers, CONTENT_TYPE).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_fit = media.is_empty()
        || media.contains("json")
        || media.contains("yaml")
        || ["text/plain", "application/octet-stream", "binary/octet-stream"]
            .contains(&media.as_str());
    if !is_fit {
        let message = format!("the answer is of the type {media:?}, neither YAML nor JSON");
        return Err(HttpError::new("WrongContentType", message));
    }
    if response.version() < Version::HTTP_2 && !has_end(headers) {
        let message = "the answer does not say how long it is, so it could be cut off unseen";
        return Err(HttpError::new("AnswerEndless", message));
    }
    Ok(())
}

/// Whether an answer of HTTP/1 says where it ends. By a coding only where chunks are the last one:
/// after any other it is read until the connection closes, whatever its Content-Length says (RFC 9112).
fn has_end(headers: &HeaderMap) -> bool {
    match headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        None => headers.contains_key(CONTENT_LENGTH),
        Some(codings) => codings.to_str().is_ok_and(|codings| {
            let last = codings.rsplit(',').next().unwrap_or_default();
            last.trim().eq_ignore_ascii_case("chunked")
        }),
    }
}

async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, HttpError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error.without_url()))? {
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What was packed, or as it came.
fn unpack(encoding: &str, packed: Vec<u8>, limit: usize) -> Result<Vec<u8>, HttpError> {
    let broken = |error: std::io::Error| {
        HttpError::new("AnswerCutOff", format!("the answer cannot be unpacked: {error}"))
    };
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(packed),
        "gzip" | "x-gzip" => take(flate2::read::MultiGzDecoder::new(packed.as_slice()), limit),
        "zstd" => {
            let mut decoder =
                zstd::stream::read::Decoder::new(packed.as_slice()).map_err(broken)?;
            decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
            take(decoder, limit)
        }
        other => {
            let message = format!("the answer is packed as {other:?}, which was not asked for");
            Err(HttpError::new("AnswerUnexpected", message))
        }
    }
}

fn take(from: impl Read, limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let most = (limit as u64).saturating_add(1);
    from.take(most).read_to_end(&mut bytes).map_err(|error| {
        HttpError::new("AnswerCutOff", format!("the answer cannot be unpacked: {error}"))
    })?;
    if bytes.len() > limit { Err(too_large(limit)) } else { Ok(bytes) }
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new("AnswerTooLarge", format!("the answer is larger than {} KiB", limit >> 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        match encoding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            _ => zstd::stream::encode_all(bytes, 3).unwrap(),
        }
    }

    #[test]
    fn d5_what_is_packed_is_unpacked_up_to_the_limit_and_whole() {
        for encoding in ["gzip", "zstd"] {
            let zeros = packed(encoding, &[0; 1000]);
            assert_eq!(unpack(encoding, zeros.clone(), 1000).unwrap(), [0; 1000]);
            let reason = |packed, limit| unpack(encoding, packed, limit).unwrap_err().reason;
            assert_eq!(reason(zeros.clone(), 999), "AnswerTooLarge", "{encoding}");
            let half = zeros.get(..zeros.len() / 2).unwrap().to_vec();
            assert_eq!(reason(half, 1000), "AnswerCutOff", "{encoding}");
            assert_eq!(reason(vec![1; 9], 1000), "AnswerCutOff", "{encoding}");
        }
        assert_eq!(unpack("br", vec![0], 9).unwrap_err().reason, "AnswerUnexpected");
    }
}
