//! Lists that come in pages: `Link` headers lead from one to the next (distribution-spec, "Listing Tags").

use std::collections::BTreeSet;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::address;
use super::auth::Access;
use super::error::{RegistryError, redacted};
use super::http::{Call, Http};
use crate::model::{Repository, is_tag};

/// Tags asked for at once.
const PAGE: usize = 1000;
/// No page of a list is longer in bytes; a registry may send all its tags as one page.
const PAGE_BYTES: usize = 32 << 20;
/// More tags than this are not listed.
const MOST_TAGS: usize = 1_000_000;

#[derive(Deserialize)]
struct Tags {
    /// `null` where there are none, as Go's encoder writes it.
    tags: Option<Vec<String>>,
}

impl Http {
    pub(super) async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        let mut call = self.call(Method::GET, repository, &format!("tags/list?n={PAGE}"), Access::Pull)?;
        let wrong = |call: &Call<'_>, reason: String| {
            Err(RegistryError::Protocol { request: Box::new(call.request()), reason })
        };
        let mut tags = BTreeSet::new();
        let mut linked = false;
        loop {
            let response = self.send(&call).await?;
            if !response.status().is_success() {
                return Err(self.refusal(&call, response, &repository.to_string()).await);
            }
            let next = next_page(&call, &response)?;
            let bytes = self.read(&call.request(), response, PAGE_BYTES, false).await?;
            let Ok(page) = serde_json::from_slice::<Tags>(&bytes) else {
                return wrong(&call, "it is not the JSON of this answer".to_owned());
            };
            let (known, page) = (tags.len(), page.tags.unwrap_or_default());
            let last = page.last().cloned();
            // What is no tag cannot be asked for.
            tags.extend(page.into_iter().filter(|tag| is_tag(tag)));
            if tags.len() > MOST_TAGS {
                return wrong(&call, format!("more than {MOST_TAGS} tags"));
            }
            // A page that brings nothing new is the last one, whatever it says.
            if tags.len() == known {
                return Ok(tags.into_iter().collect());
            }
            match (next, last) {
                (Some(next), _) => {
                    linked = true;
                    call.url = next;
                }
                // Some registries cut pages as they like and name no next one.
                (None, Some(last)) if !linked => {
                    let n = PAGE.to_string();
                    call.url.query_pairs_mut().clear().append_pair("n", &n).append_pair("last", &last);
                }
                _ => return Ok(tags.into_iter().collect()),
            }
        }
    }
}

/// The next page of a list, where there is one. It must be the registry's own: a list has no reason to go elsewhere,
/// and credentials go along.
pub(super) fn next_page(call: &Call<'_>, response: &Response) -> Result<Option<Url>, RegistryError> {
    let Some(text) = next_link(response.headers()) else { return Ok(None) };
    let refused = |to, reason| Err(RegistryError::Address { request: Box::new(call.request()), to, reason });
    let Ok(mut next) = call.url.join(&text) else {
        return refused("a text".to_owned(), "which is no address");
    };
    next.set_fragment(None);
    if address::same_origin(&call.root, &next) {
        Ok(Some(next))
    } else {
        refused(redacted(&next), "and the next page of a list is the registry's own")
    }
}

/// The target of the link of relation `next` (RFC 8288).
fn next_link(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split('<').skip(1)).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('=')).any(
            |(name, value)| {
                let value = value.trim_matches([' ', ',', '"']);
                name.trim().eq_ignore_ascii_case("rel")
                    && value.split(' ').any(|relation| relation.eq_ignore_ascii_case("next"))
            },
        );
        is_next.then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        for (header, expected) in [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Some("/v2/a/tags/list?n=2&last=b")),
            ("<x>; rel=next", Some("x")),
            ("<a>; rel=\"prev\", <b>; title=\"x\"; rel=\"last next\"", Some("b")),
            ("<a>; rel=\"prev\"", None),
            ("<a>", None),
            ("a; rel=next", None),
            ("<a; rel=next", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, header.parse().unwrap());
            assert_eq!(next_link(&headers).as_deref(), expected, "{header}");
        }
    }
}
