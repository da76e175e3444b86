//! One request with everything that belongs to it: rules for addresses, authorization, redirects, waiting and trying
//! again, and errors that name what was asked.

use std::time::SystemTime;

use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, IF_MATCH, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, RequestBuilder, Response, Url};

use super::address;
use super::auth::{Access, Auth, Grant};
use super::challenge::Challenge;
use super::clients::{Clients, Patience, deepest};
use super::credential_places::Looked;
use super::error::{Cause, Detail, RegistryError, Request, one_line};
use super::holders::Holders;
use super::plain_http::PlainHttp;
use super::realm::Realms;
use super::referrers::WithoutReferrers;
use super::retry::{Retry, is_passing, retry_after};
use super::runtime::{sleep, within};
use crate::model::Repository;

/// Redirects in a row, as in curl's practice a few are enough.
pub(super) const HOPS: usize = 5;
/// Bodies of refusals are read up to here.
const DETAIL: usize = 64 * 1024;

pub(super) struct Http {
    pub(super) clients: Clients,
    pub(super) auth: Auth,
    pub(super) realms: Realms,
    pub(super) plain: PlainHttp,
    pub(super) holders: Holders,
    pub(super) retry: Retry,
    pub(super) patience: Patience,
    pub(super) without_referrers: WithoutReferrers,
}

/// A request without a body, or with a small one.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// `/v2/` of the registry: what is of its origin may get credentials.
    pub(super) root: Url,
    pub(super) repository: &'a Repository,
    pub(super) access: Access<'a>,
    pub(super) accept: Option<&'a str>,
    pub(super) body: Option<(&'a str, &'a [u8])>,
    /// The first byte wanted, where not the first of all.
    pub(super) range: Option<u64>,
    /// The `ETag` of what is replaced; nothing else is.
    pub(super) if_match: Option<String>,
    /// Whether redirects are followed (by the rules) or handed to the caller.
    pub(super) follow: bool,
}

impl Call<'_> {
    pub(super) fn request(&self) -> Request {
        Request::new(method_name(&self.method), &self.url, self.repository)
    }
}

fn unusable(error: &impl std::error::Error) -> RegistryError {
    RegistryError::Setup { source: Cause(format!("the registry's address cannot be used: {error}")) }
}

pub(super) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        _ => "request",
    }
}

impl Http {
    /// `https://host/v2/`, or http by [`PlainHttp`].
    pub(super) fn root(&self, repository: &Repository) -> Result<Url, RegistryError> {
        let scheme = self.plain.scheme(repository);
        Url::parse(&format!("{scheme}://{}/v2/", repository.authority())).map_err(|error| unusable(&error))
    }

    /// A request of `/v2/<repository>/<rest>`.
    pub(super) fn call<'a>(
        &self,
        method: Method,
        repository: &'a Repository,
        rest: &str,
        access: Access<'a>,
    ) -> Result<Call<'a>, RegistryError> {
        let root = self.root(repository)?;
        let url = root.join(&format!("{}/{rest}", repository.path())).map_err(|error| unusable(&error))?;
        let (accept, body, range, if_match) = (None, None, None, None);
        Ok(Call { method, url, root, repository, access, accept, body, range, if_match, follow: true })
    }

    /// Sends `call` until there is an answer that stays: any success, or a refusal that trying again does not change.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut challenged = false;
        self.persist(async || {
            let response = self.once(call).await?;
            if response.status() != 401 || challenged || !address::same_origin(response.url(), &call.url) {
                return Ok(response);
            }
            challenged = true;
            if self.answer(call.repository, call.access, response.headers()).await? {
                self.once(call).await
            } else {
                Ok(response)
            }
        })
        .await
    }

    /// Runs `attempt` again, after a wait, while it fails in a passing way.
    pub(super) async fn persist(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<Response, RegistryError>,
    ) -> Result<Response, RegistryError> {
        let mut failures = 0;
        loop {
            let result = attempt().await;
            let asked = match &result {
                Ok(response) if is_passing(response.status().as_u16()) => asked_wait(response),
                Err(error) if is_passing_error(error) => None,
                _ => return result,
            };
            failures += 1;
            match self.retry.wait(failures, asked) {
                Some(wait) => sleep(wait).await,
                None => return result,
            }
        }
    }

    /// One request, and the redirects that it leads to.
    async fn once(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=HOPS {
            let mut request = self.clients.for_url(&url)?.request(call.method.clone(), url.clone());
            if let Some(accept) = call.accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(first) = call.range {
                request = request.header(RANGE, format!("bytes={first}-"));
            }
            if let Some(etag) = &call.if_match {
                request = request.header(IF_MATCH, etag);
            }
            if let Some((_, [])) = call.body {
                // Some registries want a length even of nothing, which is not sent by itself.
                request = request.header(CONTENT_LENGTH, 0);
            } else if let Some((content_type, body)) = call.body {
                request = request.header(CONTENT_TYPE, content_type).body(body.to_vec());
            }
            if address::same_origin(&call.root, &url) {
                request = self.authorize(request, call.repository, call.access).await?;
            }
            let shown = || Box::new(Request::new(method_name(&call.method), &url, call.repository));
            let response = within(self.patience.stall, request.send())
                .await
                .ok_or_else(|| RegistryError::Broken { request: shown(), source: silent(self) })?
                .map_err(|error| transport(shown(), &url, &error))?;
            if !call.follow || !is_redirect(&response) {
                return Ok(response);
            }
            url = self.location(call.repository, &shown(), &url, response.headers()).await?;
        }
        Err(RegistryError::Protocol {
            request: Box::new(call.request()),
            reason: format!("more than {HOPS} redirects"),
        })
    }

    /// The address in a `Location` header, where the rules let us follow it.
    pub(super) async fn location(
        &self,
        repository: &Repository,
        request: &Request,
        base: &Url,
        headers: &HeaderMap,
    ) -> Result<Url, RegistryError> {
        let text = headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(|| {
            RegistryError::Protocol {
                request: Box::new(request.clone()),
                reason: "it has no Location".to_owned(),
            }
        })?;
        let followed = address::follow(&self.root(repository)?, base, text, &self.clients.floors).await;
        followed.map_err(|(to, reason)| RegistryError::Address {
            request: Box::new(request.clone()),
            to,
            reason,
        })
    }

    /// Adds what is granted, asking for it first where this registry is known to want it.
    pub(super) async fn authorize(
        &self,
        request: RequestBuilder,
        repository: &Repository,
        access: Access<'_>,
    ) -> Result<RequestBuilder, RegistryError> {
        let grant = match self.auth.grant(repository, access) {
            Some(grant) => Some(grant),
            None => match self.auth.challenge(repository) {
                Some(challenge) => self.obtain(repository, access, &challenge).await?,
                None => None,
            },
        };
        Ok(match grant {
            Some(Grant::Basic { user, password }) => request.basic_auth(user, Some(password.0)),
            Some(Grant::Bearer(token)) => request.bearer_auth(token.0),
            None => request,
        })
    }

    /// Answers a 401: whether there is something new to offer.
    pub(super) async fn answer(
        &self,
        repository: &Repository,
        access: Access<'_>,
        headers: &HeaderMap,
    ) -> Result<bool, RegistryError> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let Some(challenge) = Challenge::parse(texts) else { return Ok(false) };
        let refused = self.auth.revoke(repository, access);
        self.auth.remember(repository, challenge.clone());
        let grant = self.obtain(repository, access, &challenge).await?;
        // The same password a second time only locks accounts.
        Ok(grant.is_some() && grant != refused)
    }

    /// The error for an answer that is no success. `what` names the thing that a 404 says is missing.
    pub(super) async fn refusal(&self, call: &Call<'_>, response: Response, what: &str) -> RegistryError {
        let request = Box::new(Request::new(method_name(&call.method), response.url(), call.repository));
        let trusted = address::same_origin(response.url(), &call.url);
        self.refusal_of(request, response, what, || trusted.then(|| self.auth.looked(call.repository))).await
    }

    pub(super) async fn refusal_of(
        &self,
        request: Box<Request>,
        response: Response,
        what: &str,
        looked: impl FnOnce() -> Option<Looked>,
    ) -> RegistryError {
        let status = response.status().as_u16();
        let wait = asked_wait(&response).filter(|wait| *wait > self.retry.longest);
        let body = self.read(&request, response, DETAIL, true).await.unwrap_or_default();
        let detail = Box::new(detail_of(&body));
        match status {
            401 | 403 => RegistryError::Denied { request, status, detail, looked: looked().map(Box::new) },
            404 => RegistryError::NotFound { what: what.to_owned(), request, status, detail },
            _ => RegistryError::Status { request, status, detail, wait },
        }
    }

    /// A body of at most `limit` bytes; a longer one is cut, or is an error.
    pub(super) async fn read(
        &self,
        request: &Request,
        mut response: Response,
        limit: usize,
        cut: bool,
    ) -> Result<Vec<u8>, RegistryError> {
        let broken = |source| RegistryError::Broken { request: Box::new(request.clone()), source };
        let all = async {
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| broken(deepest(&error)))? {
                let room = limit - body.len();
                if chunk.len() <= room {
                    body.extend_from_slice(&chunk);
                } else if cut {
                    body.extend_from_slice(&chunk[..room]);
                    break;
                } else {
                    return Err(RegistryError::Protocol {
                        request: Box::new(request.clone()),
                        reason: format!("the answer is larger than {limit} bytes"),
                    });
                }
            }
            Ok(body)
        };
        // Small bodies have to come whole within the time that a single byte may take.
        within(self.patience.stall, all).await.unwrap_or_else(|| Err(broken(silent(self))))
    }
}

fn silent(http: &Http) -> Cause {
    Cause(format!("no answer within {} s", http.patience.stall.as_secs_f32()))
}

pub(super) fn is_redirect(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

pub(super) fn asked_wait(response: &Response) -> Option<std::time::Duration> {
    let header = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(header, SystemTime::now())
}

pub(super) fn is_passing_error(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unreachable { .. } | RegistryError::Broken { .. } => true,
        RegistryError::Status { status, wait, .. } => wait.is_none() && is_passing(*status),
        _ => false,
    }
}

/// Says what kind of failure of the network layer this is. The layer's own words may hold addresses; only the deepest
/// cause is kept.
pub(super) fn transport(request: Box<Request>, url: &Url, error: &reqwest::Error) -> RegistryError {
    let source = if error.is_timeout() { Cause("it took too long".to_owned()) } else { deepest(error) };
    if error.is_builder() {
        return RegistryError::Setup { source };
    }
    if let Some(tls) = tls_error(error) {
        let plain = matches!(tls, rustls::Error::InvalidMessage(_));
        let host = url.host_str().unwrap_or_default().to_owned();
        return RegistryError::Tls { request, host, plain, source };
    }
    if error.is_connect() {
        RegistryError::Unreachable { request, source }
    } else {
        RegistryError::Broken { request, source }
    }
}

pub(super) fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An io::Error hides what it was made of from `source`.
        let hidden = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        at = hidden.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}

/// Code and message of a refusal's body, in the forms of registries and of token servers.
fn detail_of(body: &[u8]) -> Detail {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return Detail::default() };
    let first = value.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&value);
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| first.get(name).and_then(serde_json::Value::as_str))
            .map(one_line)
            .filter(|text| !text.is_empty())
    };
    Detail { code: text(&["code", "error"]), message: text(&["message", "error_description", "details"]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_every_form() {
        for (body, expected) in [
            (r#"{"errors":[{"code":"DENIED","message":"no\nway","detail":{}}]}"#, ": DENIED, no way"),
            (r#"{"errors":[{"code":"DENIED"}]}"#, ": DENIED"),
            (r#"{"details":"incorrect username or password"}"#, ": incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"old"}"#, ": invalid_grant, old"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"errors":"x","code":7}"#, ""),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(detail_of(body.as_bytes()).to_string(), expected, "{body}");
        }
    }
}
