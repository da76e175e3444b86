//! Tokens (distribution, "Token Authentication Specification" and "OAuth2 Token Authentication").

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::address;
use super::auth::{Access, Grant};
use super::challenge::Challenge;
use super::credentials::{Credential, Secret};
use super::error::{Cause, RegistryError, Request};
use super::http::{Http, method_name, transport};
use super::realm;
use super::runtime::within;
use crate::model::Repository;

/// An answer with a token; large ones carry many groups of a user.
const LONGEST: usize = 1024 * 1024;
/// Where the answer does not say (Token Authentication Specification, "expires_in").
const LIFETIME: u64 = 60;

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Http {
    /// What to send for a challenge: password or token, `None` where there are no credentials to a password that is
    /// asked for.
    pub(super) async fn obtain(
        &self,
        repository: &Repository,
        access: Access<'_>,
        challenge: &Challenge,
    ) -> Result<Option<Grant>, RegistryError> {
        let (credential, _) = self.auth.credentials(repository);
        let (grant, lifetime) = match (challenge, credential) {
            (_, Some(Credential::Bearer(token))) => (Grant::Bearer(token), None),
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                (Grant::Basic { user, password }, None)
            }
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service }, credential) => {
                let (token, lifetime) =
                    self.token(repository, access, realm, service.as_deref(), credential).await?;
                (Grant::Bearer(token), Some(lifetime))
            }
        };
        self.auth.keep(repository, access, grant.clone(), lifetime);
        Ok(Some(grant))
    }

    async fn token(
        &self,
        repository: &Repository,
        access: Access<'_>,
        realm: &str,
        service: Option<&str>,
        credential: Option<Credential>,
    ) -> Result<(Secret, Duration), RegistryError> {
        let url = self.realm(repository, realm).await?;
        if credential.is_some() && !self.realms.may_have_credentials(repository, &url) {
            return Err(realm::refused(repository, &url));
        }
        let scopes = access.scopes(repository);
        // Several scopes are several fields of a query, and one field of a form.
        let joined = scopes.join(" ");
        let service = service.map(|service| ("service", service));
        let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
        let fields: Vec<(&str, &str)> = scopes.chain(service).collect();
        let method = match credential {
            Some(Credential::Identity(_)) => Method::POST,
            _ => Method::GET,
        };
        let shown = || Box::new(Request::new(method_name(&method), &url, repository));
        let response = self
            .persist(async || {
                let client = self.clients.for_url(&url)?;
                let request = match &credential {
                    Some(Credential::Identity(token)) => {
                        let form = [
                            ("grant_type", "refresh_token"),
                            ("client_id", "imgpack"),
                            ("refresh_token", token.0.as_str()),
                            ("scope", joined.as_str()),
                        ];
                        client
                            .post(url.clone())
                            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                            .body(encoded(form.iter().chain(&service).filter(|(_, value)| !value.is_empty())))
                    }
                    Some(Credential::Password { user, password }) => client
                        .get(with_query(&url, fields.iter().chain(&[("account", user.as_str())])))
                        .basic_auth(user, Some(&password.0)),
                    _ => client.get(with_query(&url, fields.iter())),
                };
                within(self.patience.stall, request.send())
                    .await
                    .ok_or_else(|| RegistryError::Broken {
                        request: shown(),
                        source: Cause("no answer from the token server".to_owned()),
                    })?
                    .map_err(|error| transport(shown(), &url, &error))
            })
            .await?;
        if !response.status().is_success() {
            let looked = || Some(self.auth.looked(repository));
            return Err(self.refusal_of(shown(), response, "the token server", looked).await);
        }
        let body = self.read(&shown(), response, LONGEST, false).await?;
        let wrong = |reason: &str| RegistryError::Protocol { request: shown(), reason: reason.to_owned() };
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| wrong("it is not the JSON of a token"))?;
        let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| wrong("it has no token"))?;
        let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(LIFETIME).clamp(1, 24 * 3600));
        Ok((Secret(token), lifetime))
    }

    /// The address where tokens are given, where the rules allow it: credentials go there.
    async fn realm(&self, repository: &Repository, realm: &str) -> Result<Url, RegistryError> {
        let registry = self.root(repository)?;
        let refused = |to: String, reason| RegistryError::Address {
            request: Box::new(Request::new("GET", &registry, repository)),
            to,
            reason,
        };
        let url =
            Url::parse(realm).map_err(|_| refused("a text".to_owned(), "which is no address for tokens"))?;
        match address::check(&registry, &url, &self.clients.floors).await {
            Ok(()) => Ok(url),
            Err(reason) => Err(refused(super::error::redacted(&url), reason)),
        }
    }
}

fn with_query<'a>(url: &Url, fields: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(fields.copied());
    url
}

/// `application/x-www-form-urlencoded`, which is a query's own form.
fn encoded<'a>(fields: impl Iterator<Item = &'a (&'a str, &'a str)>) -> String {
    Url::parse("http://localhost/")
        .map(|url| with_query(&url, fields).query().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped() {
        let fields = [("scope", "repository:a/b:pull,push"), ("account", "a&b=c d+%é")];
        assert_eq!(
            encoded(fields.iter()),
            "scope=repository%3Aa%2Fb%3Apull%2Cpush&account=a%26b%3Dc+d%2B%25%C3%A9"
        );
        let url = Url::parse("https://a/t?x=1").unwrap();
        assert_eq!(
            with_query(&url, fields[..1].iter()).query(),
            Some("x=1&scope=repository%3Aa%2Fb%3Apull%2Cpush")
        );
    }
}
