//! Requests to the API server. All requests go through this module, so that the `Date` of every answer
//! reaches the clock and every failure becomes an [`ApiError`] in one place.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WARNING};
use hyper::{Method, Request, StatusCode};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::clock::ServerClock;
use super::connection::HttpTransport;
use super::error::{self, ApiError};
use crate::timing::REQUEST_TIMEOUT;

/// The largest answer in bytes: larger than any page of 500 objects; more would use too much memory.
const MAX_KUBERNETES_ANSWER: usize = 128 << 20;

/// The media type of every answer except that of discovery.
const JSON: &str = "application/json";

/// The name of this program in requests.
pub(super) const AGENT: &str = concat!("kubectl-emqx/", env!("CARGO_PKG_VERSION"));

/// The type of a body: a whole object, or one of the ways to change one.
#[derive(Clone, Copy)]
pub(super) enum BodyFormat {
    Json,
    /// Server-side apply. The media type is that of YAML, of which JSON is a part.
    Apply,
    /// Lists are merged by the keys that the type names.
    Strategic,
    /// Fields that are null are removed.
    Merge,
}

impl BodyFormat {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Apply => "application/apply-patch+yaml",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Merge => "application/merge-patch+json",
        }
    }
}

/// The API server.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) client: kube::Client,
    pub(super) clock: ServerClock,
    /// Its address, for messages.
    pub(super) server: String,
    pub(super) timeout: Option<Duration>,
    /// The connections; `None` where a test provides the client.
    pub(super) transport: Option<HttpTransport>,
}

/// A successful answer.
pub(super) struct Answer<T = Value> {
    pub(super) body: T,
    pub(super) warnings: Vec<String>,
}

impl Api {
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.get_as(path).await
    }

    /// GET, read as this type.
    pub(super) async fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.get_in(path, JSON).await
    }

    /// The same in one of several forms: the `Accept` of the request.
    pub(super) async fn get_in<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T, ApiError> {
        let mut tries = 0;
        loop {
            match self.within(self.call_without_timeout(Method::GET, path, None, accept)).await {
                // API priority and fairness answers 429 with a pause; a read can wait for it.
                Err(ApiError::Busy { seconds, .. }) if tries < 3 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(seconds.clamp(1, 5))).await;
                }
                other => return other.map(|answer| answer.body),
            }
        }
    }

    /// One request and its whole answer, within the time limit.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ApiError> {
        self.within(self.call_without_timeout(method, path, body.map(|body| (BodyFormat::Json, body)), JSON))
            .await
    }

    /// PATCH. A server that is too busy has changed nothing yet: the request is repeated.
    pub(super) async fn patch(&self, path: &str, form: BodyFormat, body: &Value) -> Result<Answer, ApiError> {
        let mut tries = 0;
        loop {
            match self.within(self.call_without_timeout(Method::PATCH, path, Some((form, body)), JSON)).await
            {
                Err(ApiError::Busy { seconds, .. }) if tries < 3 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(seconds.clamp(1, 5))).await;
                }
                other => return other,
            }
        }
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<Answer<T>, ApiError>>,
    ) -> Result<Answer<T>, ApiError> {
        let limit = self.timeout.unwrap_or(REQUEST_TIMEOUT);
        if let Ok(result) = tokio::time::timeout(limit, call).await {
            return result;
        }
        self.abandon_connection();
        Err(ApiError::Lost(format!(
            "the API server at {} does not answer: no answer within {} s",
            self.server,
            limit.as_secs_f64()
        )))
    }

    /// Abandons the connection after a request without an answer: the next request uses another connection.
    pub(super) fn abandon_connection(&self) {
        if let Some(transport) = &self.transport {
            transport.abandon();
        }
    }

    /// The number of lists at a time: all of them where they share one connection. Elsewhere the number of
    /// connections since the discovery: one more costs a whole TLS handshake, which takes longer than all
    /// these lists one after another.
    pub(super) fn lists_at_once(&self) -> usize {
        let shared = self.transport.as_ref().is_some_and(HttpTransport::is_shared);
        if shared { 64 } else { 2 }
    }

    /// Whether a request that may not be needed is sent at once, because a round trip costs more.
    pub(super) fn is_slow(&self) -> bool {
        self.transport.as_ref().is_some_and(HttpTransport::is_slow)
    }

    async fn call_without_timeout<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(BodyFormat, &Value)>,
        accept: &str,
    ) -> Result<Answer<T>, ApiError> {
        let response = self.send_accepting(method, path, body, accept).await?;
        let warnings = response
            .headers()
            .get_all(WARNING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(warning_text)
            .collect();
        let mut frames = Limited::new(response.into_body(), MAX_KUBERNETES_ANSWER);
        let mut bytes = Vec::new();
        while let Some(frame) = frames.frame().await {
            let frame = frame.map_err(|error| ApiError::of_error(&self.server, error.as_ref()))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        }
        let body = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::Nonsense(format!("the answer to {path} is not JSON: {error}")))?;
        Ok(Answer { body, warnings })
    }

    /// Sends one request; the body of its answer is not read yet. A failure answer is returned as an error.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(BodyFormat, &Value)>,
    ) -> Result<hyper::Response<Body>, ApiError> {
        self.send_accepting(method, path, body, JSON).await
    }

    async fn send_accepting(
        &self,
        method: Method,
        path: &str,
        body: Option<(BodyFormat, &Value)>,
        accept: &str,
    ) -> Result<hyper::Response<Body>, ApiError> {
        tracing::debug!(%method, path, "requesting");
        let mut request =
            Request::builder().method(method).uri(path).header(USER_AGENT, AGENT).header(ACCEPT, accept);
        if let Some((form, _)) = body {
            request = request.header(CONTENT_TYPE, form.media_type());
        }
        let body = body.map_or_else(Body::empty, |(_, body)| Body::from(body.to_string().into_bytes()));
        let request =
            request.body(body).map_err(|error| ApiError::Nonsense(format!("bad request {path}: {error}")))?;
        let response = self.client.send(request).await.map_err(|error| ApiError::of(&self.server, &error))?;
        self.clock.observe(response.headers());
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        // A `Status` object is small; a larger answer is something else.
        let text = Limited::new(response.into_body(), 1 << 20)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let text = text.unwrap_or_default();
        let object: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        let text = || String::from_utf8_lossy(&text[..text.len().min(200)]).trim().to_owned();
        let message = error::message(&object).unwrap_or_else(text);
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(ApiError::Busy { seconds: seconds.unwrap_or(1), message });
        }
        let owners = error::owners(&object);
        if !owners.is_empty() {
            return Err(ApiError::Owned(owners));
        }
        let reason = object.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(ApiError::Refused { code: status.as_u16(), reason, message })
    }
}

/// The text within `299 - "text"`.
fn warning_text(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, rest)| {
        let rest = rest.trim_end();
        rest.strip_suffix('"').unwrap_or(rest)
    });
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::url::encode;

    #[test]
    fn selectors_survive_the_query_and_warnings_lose_their_wrapping() {
        assert_eq!(encode("a in (b,c)/d"), "a%20in%20%28b%2Cc%29%2Fd");
        assert_eq!(warning_text(r#"299 - "unknown field \"spec.x\"""#), "unknown field \"spec.x\"");
    }
}
