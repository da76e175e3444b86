//! Asking a registry to let us in, and nothing else.

use reqwest::Method;

use super::auth::Access;
use super::challenge::Challenge;
use super::credential_places::Looked;
use super::error::RegistryError;
use super::http::{Call, Http};
use crate::model::Repository;

/// How a registry wants to be told who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It does not.
    Nothing,
    /// By user and password with every request.
    Password,
    /// By a token.
    Token {
        /// The address of the token server, without its query.
        realm: String,
    },
}

/// How a registry let us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// What it asked for.
    pub asked: Asked,
    /// Where credentials were looked for; `None` where none were needed.
    pub looked: Option<Looked>,
}

impl Http {
    /// `GET /v2/` with whatever the registry wants to see (distribution-spec, "Determining Support").
    pub(super) async fn sign_in(
        &self,
        repository: &Repository,
        access: Access<'_>,
    ) -> Result<SignIn, RegistryError> {
        let call = Call { url: self.root(repository)?, ..self.call(Method::GET, repository, "", access)? };
        let answer = match self.send(&call).await {
            Ok(answer) => answer,
            Err(error) => return Err(of_the_registry(access, error)),
        };
        let asked = match self.auth.challenge(repository) {
            None => Asked::Nothing,
            Some(Challenge::Basic) => Asked::Password,
            Some(Challenge::Bearer { realm, .. }) => Asked::Token {
                realm: reqwest::Url::parse(&realm).map_or_else(|_| realm, |url| super::error::redacted(&url)),
            },
        };
        if !answer.status().is_success() {
            let refused = self.refusal(&call, answer, repository.registry()).await;
            return Err(of_the_registry(access, refused));
        }
        let looked = (asked != Asked::Nothing).then(|| self.auth.looked(repository));
        Ok(SignIn { asked, looked })
    }
}

/// A refusal as one of the registry as a whole, where no repository was asked for.
fn of_the_registry(access: Access<'_>, error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Denied { request, status, detail, looked } if access == Access::Registry => {
            let sent = looked.is_some_and(|looked| looked.used().is_some());
            RegistryError::Login { request, sent, status, detail }
        }
        other => other,
    }
}
