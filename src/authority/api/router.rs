//! Finds the endpoint of a request.

use http::Method;

use super::call::decode;
use super::endpoint::Endpoint;
use super::problem::{ApiCode, Problem};

/// The longest item of a path, decoded; what is longer names nothing.
const LONGEST: usize = 512;

/// All endpoints, by their paths.
pub(super) struct Router(Vec<Place>);

/// The endpoints of one path.
struct Place {
    template: Vec<Segment>,
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    // Before the other: what is named wins.
    Named(&'static str),
    Any,
}

/// Where a request goes, and what stood in its path.
pub(super) struct Found<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) path: Vec<String>,
}

impl Router {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for endpoint in endpoints {
            let template = template(endpoint.path);
            match places.iter_mut().find(|place| place.template == template) {
                Some(place) => place.endpoints.push(endpoint),
                None => places.push(Place { template, endpoints: vec![endpoint] }),
            }
        }
        places.sort_by(|a, b| a.template.cmp(&b.template));
        Self(places)
    }

    /// Every endpoint, those of one path together.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter().flat_map(|place| &place.endpoints)
    }

    /// The endpoint of a path as it was sent. HEAD is the GET of its path.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Found<'_>, Problem> {
        let nothing = || Problem::new(ApiCode::NotFound, "there is nothing at this path");
        let segments: Vec<&str> = path.strip_prefix('/').ok_or_else(nothing)?.split('/').collect();
        let place = self.0.iter().find(|place| place.fits(&segments)).ok_or_else(nothing)?;
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let Some(endpoint) = place.endpoints.iter().find(|endpoint| endpoint.method == *wanted) else {
            return Err(place.not_allowed());
        };
        let any = place.template.iter().zip(segments).filter(|(segment, _)| **segment == Segment::Any);
        let path = any.map(|(_, text)| decode(text).filter(|text| text.len() <= LONGEST).ok_or_else(nothing));
        Ok(Found { endpoint, path: path.collect::<Result<_, _>>()? })
    }
}

impl Place {
    fn fits(&self, segments: &[&str]) -> bool {
        self.template.len() == segments.len()
            && self.template.iter().zip(segments).all(|(segment, text)| match segment {
                Segment::Named(name) => name == text,
                Segment::Any => !text.is_empty(),
            })
    }

    fn not_allowed(&self) -> Problem {
        let mut allowed: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        Problem::new(ApiCode::MethodNotAllowed, format!("this path takes {allowed}")).allowing(allowed)
    }
}

fn template(path: &'static str) -> Vec<Segment> {
    let segment = |text: &'static str| if text.starts_with('{') { Segment::Any } else { Segment::Named(text) };
    path.trim_start_matches('/').split('/').map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::endpoint::{Bucket, Handler};
    use super::super::problem::Surface;
    use super::*;

    fn endpoint(method: Method, path: &'static str) -> Endpoint {
        Endpoint {
            method,
            path,
            name: path,
            surface: Surface::New,
            summary: "",
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            bucket: Bucket::Requests,
            handler: Handler::Open(|_| Ok(Answer::done())),
        }
    }

    fn router() -> Router {
        Router::new(vec![
            endpoint(Method::GET, "/v1/providers/{id}"),
            endpoint(Method::DELETE, "/v1/providers/{id}"),
            endpoint(Method::GET, "/v1/providers/metadata"),
            endpoint(Method::POST, "/v1/providers"),
            endpoint(Method::GET, "/v1/token/{id}"),
        ])
    }

    #[test]
    fn what_is_named_wins_and_the_rest_is_decoded() {
        let router = router();
        let find = |path: &str| router.find(&Method::GET, path).map(|found| (found.endpoint.path, found.path));
        assert_eq!(find("/v1/providers/metadata"), Ok(("/v1/providers/metadata", vec![])));
        assert_eq!(find("/v1/providers/a%2Fb%20"), Ok(("/v1/providers/{id}", vec!["a/b ".to_owned()])));
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/",
            "/v1/providers/",
            "/v1//providers",
            "/v1/providers/a/b",
            "/V1/providers/a",
            "/v1/providers/%zz",
            "/v1/providers/%ff",
            "v1/providers/a",
            "/v1/token",
        ] {
            assert_eq!(find(path).unwrap_err().code, ApiCode::NotFound, "{path}");
        }
        assert_eq!(find(&format!("/v1/providers/{}", "a".repeat(513))).unwrap_err().code, ApiCode::NotFound);
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        let router = router();
        assert!(router.find(&Method::HEAD, "/v1/token/x").is_ok());
        for (method, path, allow) in [
            (Method::POST, "/v1/token/x", "GET, HEAD"),
            (Method::OPTIONS, "/v1/providers/x", "GET, DELETE, HEAD"),
            (Method::HEAD, "/v1/providers", "POST"),
            (Method::TRACE, "/v1/providers", "POST"),
        ] {
            let problem = router.find(&method, path).map(drop).unwrap_err();
            assert_eq!((problem.code, problem.allow()), (ApiCode::MethodNotAllowed, Some(allow)), "{path}");
        }
    }
}
