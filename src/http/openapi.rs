//! The description of the API, made from the handlers themselves: routes and description cannot
//! differ.

use axum::{Json, Router, extract::State, middleware::from_fn_with_state, routing::get};
use jobs::{access::Scope, delivery::Changed, overview::Topic};
use utoipa::{
    OpenApi,
    openapi::{
        Content, Ref, RefOr, Required, ResponseBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{App, api, caller, idempotency, problem::Problem};

const SECURITY: &str = "key";
const PREFIX: &str = "/api/v1";

/// What it is, in a paragraph.
const DESCRIPTION: &str = "What tunemantra-worker delivers, to whom, how it stands and why, and \
everything an operator does about it. Every request carries a key (`tunemantra-worker keys create`); \
every change carries a reason and is one row of the audit; a POST with an Idempotency-Key is done once, \
however often it is sent. Problems are those of RFC 9457. Times are UTC.";

#[derive(OpenApi)]
#[openapi(components(schemas(Problem, Changed, Topic)))]
struct Described;

/// The API with its description.
pub(super) fn described(app: &App) -> OpenApiRouter<App> {
    let resources = Scope::ALL
        .into_iter()
        .map(|scope| guarded(app, scope))
        .fold(OpenApiRouter::new(), OpenApiRouter::merge);
    let document: OpenApiRouter<App> = Router::new().route("/openapi.json", get(answer)).into();
    OpenApiRouter::with_openapi(title()).nest(PREFIX, resources.merge(document))
}

/// The description alone.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    let resources = Scope::ALL
        .into_iter()
        .map(secured)
        .fold(OpenApiRouter::<App>::new(), OpenApiRouter::merge);
    let mut api = OpenApiRouter::with_openapi(title()).nest(PREFIX, resources);
    complete(api.get_openapi_mut());
    api.into_openapi()
}

/// What is said of the whole.
fn title() -> utoipa::openapi::OpenApi {
    let mut described = Described::openapi();
    described.info.title = "tunemantra-worker".into();
    described.info.description = Some(DESCRIPTION.into());
    described.info.version = env!("CARGO_PKG_VERSION").into();
    described
}

async fn answer(State(_): State<App>) -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

/// The routes of a scope, behind it.
fn guarded(app: &App, scope: Scope) -> OpenApiRouter<App> {
    let mut routes = secured(scope);
    if keeps_answers(scope) {
        routes = routes.route_layer(from_fn_with_state(app.clone(), idempotency::keep));
    }
    routes.route_layer(from_fn_with_state((app.clone(), scope), caller::require))
}

/// Whether POSTs may carry an Idempotency-Key. An answer that holds a key must not be kept.
fn keeps_answers(scope: Scope) -> bool {
    matches!(scope, Scope::Operate | Scope::Finance)
}

/// The routes of a scope, described as needing it.
fn secured(scope: Scope) -> OpenApiRouter<App> {
    let mut routes = api::needing(scope);
    for item in routes.get_openapi_mut().paths.paths.values_mut() {
        for operation in operations(item) {
            operation.security = Some(vec![SecurityRequirement::new(SECURITY, [scope.as_str()])]);
            let needs = format!("Needs scope `{scope}`.");
            operation.description = Some(match operation.description.take() {
                Some(description) => format!("{description}\n\n{needs}"),
                None => needs,
            });
        }
        if let Some(post) = item.post.as_mut().filter(|_| keeps_answers(scope)) {
            let parameters = post.parameters.get_or_insert_default();
            parameters.push(idempotency_key().into());
        }
    }
    routes
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().flatten()
}

/// Adds what all operations have in common.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A key, as `tunemantra-worker keys create` shows it once",
        ))
        .build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme(SECURITY, SecurityScheme::Http(scheme));
    }
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            for (status, description) in [
                ("401", "There is no valid key"),
                ("403", "The key may not do this"),
                (
                    "429",
                    "There were too many wrong keys, or requests of this one",
                ),
                ("default", "Another problem"),
            ] {
                operation
                    .responses
                    .responses
                    .insert(status.into(), RefOr::T(problem(description)));
            }
        }
    }
}

fn problem(description: &str) -> utoipa::openapi::Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}

fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Any text of your own, new for each request: the request is done once, however often it is sent"))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some("^[!-~]+$"))
                .build(),
        ))
        .build()
}
