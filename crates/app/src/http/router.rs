//! Which endpoint answers which request, and what every answer has in common.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, HeaderValue};
use hyper::{Method, Request};

use super::answer::{self, Answer};
use super::body;
use super::decisions::{Call as Ask, Which};
use super::denial::Denial;
use super::doors::Door;
use super::endpoints::{self, Endpoint};
use super::models::management::Call;
use super::progress::{Progress, Stage};
use super::refusal::Refusal;
use super::worker::Worker;
use crate::clock;
use crate::keys::Scope;

/// One line of the table of routes.
pub struct Route {
    /// The method; a GET route answers HEAD too.
    pub method: Method,
    /// The whole path; a segment in braces stands for any that is not empty.
    pub path: &'static str,
    /// Who may call it.
    pub scope: Scope,
    /// What answers.
    pub endpoint: Endpoint,
}

/// Everything that is served.
pub const ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/predict", scope: Scope::Score, endpoint: Endpoint::Predict },
    Route { method: Method::OPTIONS, path: "/predict", scope: Scope::Public, endpoint: Endpoint::Preflight },
    Route { method: Method::GET, path: "/health", scope: Scope::Public, endpoint: Endpoint::Health },
    Route { method: Method::GET, path: "/ready", scope: Scope::Public, endpoint: Endpoint::Ready },
    Route { method: Method::GET, path: "/metrics", scope: Scope::Metrics, endpoint: Endpoint::Metrics },
    Route { method: Method::GET, path: "/openapi.json", scope: Scope::Score, endpoint: Endpoint::OpenApi },
    models(Method::GET, "/v1/models", Call::List),
    models(Method::POST, "/v1/models", Call::Upload),
    models(Method::POST, "/v1/models/rollback", Call::RollBack),
    models(Method::GET, "/v1/models/{name}", Call::Show),
    models(Method::DELETE, "/v1/models/{name}", Call::Delete),
    models(Method::POST, "/v1/models/{name}/activate", Call::Activate),
    models(Method::POST, "/v1/models/{name}/shadow", Call::Shadow),
    models(Method::POST, "/v1/models/{name}/rollout", Call::RollOut),
    decisions(Method::POST, "/v1/decisions", Scope::Decide, Ask::Decide),
    decisions(Method::GET, "/v1/decisions", Scope::Review, Ask::List),
    decisions(Method::GET, "/v1/decisions/{id}", Scope::Decide, Ask::Show),
    decisions(Method::POST, "/v1/labels", Scope::Label, Ask::Label),
    decisions(Method::GET, "/v1/reviews", Scope::Review, Ask::Reviews),
    decisions(Method::POST, "/v1/reviews/{id}", Scope::Review, Ask::Dispose),
    decisions(Method::GET, "/v1/policy", Scope::Policy, Ask::ShowPolicy(Which::Live)),
    decisions(Method::PUT, "/v1/policy", Scope::Policy, Ask::ChangePolicy(Which::Live)),
    decisions(Method::GET, "/v1/policy/shadow", Scope::Policy, Ask::ShowPolicy(Which::Shadow)),
    decisions(Method::PUT, "/v1/policy/shadow", Scope::Policy, Ask::ChangePolicy(Which::Shadow)),
    decisions(Method::DELETE, "/v1/policy/shadow", Scope::Policy, Ask::EndShadow),
    decisions(Method::GET, "/v1/policy/rules", Scope::Policy, Ask::Rules),
    decisions(Method::POST, "/v1/policy/rules/{id}/snooze", Scope::Policy, Ask::Snooze),
    decisions(Method::POST, "/v1/governor/release", Scope::Policy, Ask::Release),
    decisions(Method::GET, "/v1/lists", Scope::Policy, Ask::Lists),
    decisions(Method::GET, "/v1/lists/{name}", Scope::Policy, Ask::ShowList),
    decisions(Method::PUT, "/v1/lists/{name}", Scope::Policy, Ask::CreateList),
    decisions(Method::DELETE, "/v1/lists/{name}", Scope::Policy, Ask::DropList),
    decisions(Method::POST, "/v1/lists/{name}/entries", Scope::Policy, Ask::AddEntries),
    decisions(Method::POST, "/v1/lists/{name}/remove", Scope::Policy, Ask::RemoveEntries),
    decisions(Method::POST, "/v1/lists/{name}/prune", Scope::Policy, Ask::Prune),
    decisions(Method::DELETE, "/v1/transactions/{id}/personal", Scope::Erase, Ask::Erase),
    decisions(Method::GET, "/v1/journal", Scope::Review, Ask::Journal),
    decisions(Method::GET, "/v1/monitor", Scope::Review, Ask::Monitor),
    door(Method::POST, "/v1/score", Scope::Score, Door::Score),
    door(Method::POST, "/invocations", Scope::Score, Door::Invocations),
    door(Method::GET, "/ping", Scope::Public, Door::Ping),
    door(Method::GET, "/version", Scope::Public, Door::Version),
    door(Method::GET, "/v2", Scope::Public, Door::Server),
    door(Method::GET, "/v2/", Scope::Public, Door::Server),
    door(Method::GET, "/v2/health/live", Scope::Public, Door::ServerLive),
    door(Method::GET, "/v2/health/ready", Scope::Public, Door::ServerReady),
    door(Method::GET, "/v2/models/{model}", Scope::Score, Door::Model),
    door(Method::GET, "/v2/models/{model}/ready", Scope::Public, Door::ModelReady),
    door(Method::POST, "/v2/models/{model}/infer", Scope::Score, Door::Infer),
    door(Method::GET, "/v2/models/{model}/versions/{version}", Scope::Score, Door::Model),
    door(Method::GET, "/v2/models/{model}/versions/{version}/ready", Scope::Public, Door::ModelReady),
    door(Method::POST, "/v2/models/{model}/versions/{version}/infer", Scope::Score, Door::Infer),
];

const fn models(method: Method, path: &'static str, call: Call) -> Route {
    Route { method, path, scope: Scope::Models, endpoint: Endpoint::Models(call) }
}

const fn decisions(method: Method, path: &'static str, scope: Scope, ask: Ask) -> Route {
    Route { method, path, scope, endpoint: Endpoint::Decisions(ask) }
}

const fn door(method: Method, path: &'static str, scope: Scope, door: Door) -> Route {
    Route { method, path, scope, endpoint: Endpoint::Door(door) }
}

/// Answers one request.
pub async fn answer(request: Request<Incoming>, worker: Rc<Worker>, progress: Rc<Progress>) -> Result<Answer, Infallible> {
    let started = clock::now();
    let shared = &worker.shared;
    let _in_flight = shared.metrics.request_begins();
    let method = request.method().clone();
    let found = find(&method, request.uri().path());
    let mut key = None;
    let mut answer = match &found {
        Found::Route(route) => match shared.guard.admit(route.scope, request.headers()) {
            Ok(admitted) => {
                key = admitted.key;
                endpoints::answer(route.endpoint, key.clone(), request, &worker, &progress).await
            }
            Err(denial) => denied(route, denial, request, &worker, &progress).await,
        },
        Found::OtherMethod { path } => method_not_allowed(path),
        Found::Nothing => answer::refusal(&Refusal::NotFound),
    };
    if !shared.lifecycle.is_ready() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    progress.enter(Stage::Answer, worker.now(), &shared.settings.limits);
    let took = clock::now() - started;
    let path = found.path();
    shared.metrics.request_ends(path, &method, answer.status(), took);
    let scope = if let Found::Route(route) = &found { Some(route.scope) } else { None };
    tracing::debug!(route = path, ?scope, key, status = answer.status().as_u16(), duration_us = took.as_micros(), "request");
    Ok(answer)
}

/// What a client learns that is not let in. Nothing of its body is looked at; it is passed over, so that the connection can be used again.
async fn denied(route: &Route, denial: Denial, request: Request<Incoming>, worker: &Worker, progress: &Rc<Progress>) -> Answer {
    let (head, incoming) = request.into_parts();
    body::pass_over(incoming, worker, progress).await;
    let mut answer = answer::refusal(&denial.into());
    if route.endpoint == Endpoint::Predict {
        // The page that asked may read why not.
        worker.shared.settings.origins.allow_reading(&head.headers, answer.headers_mut());
    }
    answer
}

/// What `work` answers; a panic in it becomes a 500 that tells the client nothing, and ends the connection.
pub fn answer_or_500(worker_failures: &prometheus::IntCounter, work: impl FnOnce() -> Answer) -> Answer {
    // What a panic may leave half-done is the thread's scratch, which the next request clears before use.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        worker_failures.inc();
        let mut answer = answer::refusal(&Refusal::Internal);
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    })
}

/// The line of the table that takes `method` at `path`.
pub fn route(method: &Method, path: &str) -> Option<&'static Route> {
    if let Found::Route(route) = find(method, path) { Some(route) } else { None }
}

enum Found {
    Route(&'static Route),
    OtherMethod { path: &'static str },
    Nothing,
}

impl Found {
    /// The path in the table, if it is there.
    fn path(&self) -> Option<&'static str> {
        match self {
            Self::Route(route) => Some(route.path),
            Self::OtherMethod { path } => Some(path),
            Self::Nothing => None,
        }
    }
}

fn find(method: &Method, path: &str) -> Found {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    // A path that is written out is that path, even where another route would take it as a name.
    match among(method, |route| route == path) {
        Found::Nothing => among(method, |route| takes_as_names(route, path)),
        found => found,
    }
}

fn among(method: &Method, is_it: impl Fn(&str) -> bool) -> Found {
    let mut found = Found::Nothing;
    for route in ROUTES.iter().filter(|route| is_it(route.path)) {
        if route.method == *method {
            return Found::Route(route);
        }
        found = Found::OtherMethod { path: route.path };
    }
    found
}

/// Whether `path` is where a route with names in its path says, segment by segment.
fn takes_as_names(route: &str, path: &str) -> bool {
    let fits = |(expected, found): (&str, &str)| expected == found || (expected.starts_with('{') && !found.is_empty());
    route.contains('{') && route.split('/').count() == path.split('/').count() && route.split('/').zip(path.split('/')).all(fits)
}

fn method_not_allowed(path: &str) -> Answer {
    let mut answer = answer::refusal(&Refusal::MethodNotAllowed);
    answer.headers_mut().insert(ALLOW, allowed(path));
    answer
}

/// The methods that `path` takes, as the header Allow lists them.
pub fn allowed(path: &str) -> HeaderValue {
    let mut methods = Vec::new();
    for route in ROUTES.iter().filter(|route| route.path == path) {
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    HeaderValue::from_str(&methods.join(", ")).expect("methods are words")
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn a_panic_becomes_a_500_that_says_nothing_and_closes() {
        let failures = prometheus::IntCounter::new("failures", "For this test.").unwrap();
        let answer = answer_or_500(&failures, || panic!("4111111111111111"));
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[CONNECTION], "close");
        assert!(!format!("{answer:?}").contains("4111"));
        assert_eq!(failures.get(), 1);
    }

    #[test]
    fn paths_and_methods_are_found_or_told_apart() {
        assert!(matches!(find(&Method::POST, "/predict"), Found::Route(_)));
        assert!(matches!(find(&Method::HEAD, "/health"), Found::Route(_)));
        assert!(matches!(find(&Method::GET, "/predict"), Found::OtherMethod { path: "/predict" }));
        assert!(matches!(find(&Method::GET, "/predict/"), Found::Nothing));
        let route = |method, path| match find(method, path) {
            Found::Route(route) => route.path,
            _ => "",
        };
        assert_eq!(route(&Method::GET, "/v2/models/fraud"), "/v2/models/{model}");
        assert_eq!(route(&Method::POST, "/v2/models/fraud/infer"), "/v2/models/{model}/infer");
        assert_eq!(route(&Method::GET, "/v2/models/a%2Fb/versions/7"), "/v2/models/{model}/versions/{version}");
        assert_eq!(route(&Method::POST, "/v1/models/rollback"), "/v1/models/rollback");
        assert_eq!(route(&Method::DELETE, "/v1/models/fraud"), "/v1/models/{name}");
        assert_eq!(allowed("/v1/models/{name}"), "GET, HEAD, DELETE");
        assert!(matches!(find(&Method::DELETE, "/v1/models/rollback"), Found::OtherMethod { path: "/v1/models/rollback" }));
        for nowhere in
            ["/v2/models/", "/v2/models//infer", "/v2/models/a/b", "/v2/models/a/versions//infer", "/v2/models/a/ready/"]
        {
            assert!(matches!(find(&Method::GET, nowhere), Found::Nothing), "{nowhere}");
        }
        assert_eq!(allowed("/predict"), "POST, OPTIONS");
        assert_eq!(allowed("/health"), "GET, HEAD");
    }
}
