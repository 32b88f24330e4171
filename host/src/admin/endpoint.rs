//! One endpoint of the API: its route, who may use it, and its description. The description is made of the handler's own type, so
//! that neither can say what the other does not do.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use crate::config::settings::Role;

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody who reaches the listener: probes of an orchestrator, the dashboard's own files.
    Open,
    /// Whoever has a token with that role, where there are tokens.
    Needs(Role),
}

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// Its `operationId`, and what the audit log calls it.
    pub(super) name: &'static str,
    summary: &'static str,
    describe: fn(&mut Operation<'_>),
    route: MethodRouter<Api>,
}

/// `GET`, for those who may read.
pub(super) fn get<H, M, A>(
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    handler: H,
) -> Endpoint
where
    H: Handler<M, Api> + Described<A>,
    M: 'static,
{
    endpoint(Method::GET, path, Access::Needs(Role::Read), name, summary, handler)
}

/// `POST`, for those who may operate.
pub(super) fn post<H, M, A>(
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    handler: H,
) -> Endpoint
where
    H: Handler<M, Api> + Described<A>,
    M: 'static,
{
    endpoint(Method::POST, path, Access::Needs(Role::Operate), name, summary, handler)
}

fn endpoint<H, M, A>(
    method: Method,
    path: &'static str,
    access: Access,
    name: &'static str,
    summary: &'static str,
    handler: H,
) -> Endpoint
where
    H: Handler<M, Api> + Described<A>,
    M: 'static,
{
    let route =
        if method == Method::GET { axum::routing::get(handler) } else { axum::routing::post(handler) };
    Endpoint { method, path, access, name, summary, describe: H::describe, route }
}

impl Endpoint {
    /// It needs no token.
    pub(super) fn open(self) -> Self {
        Self { access: Access::Open, ..self }
    }

    /// It changes nothing, though it is asked by `POST`.
    pub(super) fn reads(self) -> Self {
        Self { access: Access::Needs(Role::Read), ..self }
    }

    /// Its path and what answers there.
    pub(super) fn into_route(self) -> (&'static str, MethodRouter<Api>) {
        (self.path, self.route)
    }
}

/// A handler whose arguments and answer describe themselves.
pub(super) trait Described<A> {
    fn describe(operation: &mut Operation<'_>);
}

macro_rules! described {
    ($($part:ident),*) => {
        impl<F, R, $($part),*> Described<(R, $($part,)*)> for F
        where
            F: FnOnce($($part),*) -> R,
            R: Future,
            R::Output: Answer,
            $($part: Part),*
        {
            fn describe(operation: &mut Operation<'_>) {
                $($part::describe(operation);)*
                R::Output::describe(operation);
            }
        }
    };
}

described!();
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);

/// An argument of a handler.
pub(super) trait Part {
    fn describe(operation: &mut Operation<'_>);
}

impl<S> Part for State<S> {
    fn describe(_: &mut Operation<'_>) {}
}

impl Part for HeaderMap {
    fn describe(_: &mut Operation<'_>) {}
}

/// What the endpoint's path names.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl Part for Name {
    fn describe(_: &mut Operation<'_>) {}
}

/// What the query gives.
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(given)| Self(given)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl<T: JsonSchema> Part for Given<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.query::<T>();
    }
}

/// A body, as handlers take it and as it is described.
macro_rules! body {
    ($(#[$doc:meta])* $name:ident($content:ty) is $kind:literal, $about:literal, $schema:tt) => {
        $(#[$doc])*
        pub(super) struct $name(pub(super) $content);

        impl<S: Send + Sync> FromRequest<S> for $name {
            type Rejection = Problem;

            async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
                let body = <$content>::from_request(request, state).await;
                body.map(Self).map_err(|error| Problem::malformed(error.body_text()))
            }
        }

        impl Part for $name {
            fn describe(operation: &mut Operation<'_>) {
                operation.body($kind, $about, &json!($schema));
            }
        }
    };
}

body! {
    /// One event, structured, as the body.
    Structured(Bytes) is "application/cloudevents+json", "one event in structured mode",
    { "type": "object", "required": ["specversion", "id", "source", "type"] }
}

body! {
    /// A settings document as the body.
    Document(String) is "application/yaml", "a settings file: `stagewire config schema` describes it",
    { "type": "string" }
}

/// What a handler answers with.
pub(super) trait Answer {
    fn describe(operation: &mut Operation<'_>);
}

impl<T: JsonSchema> Answer for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.answers.subschema_for::<T>().to_value();
        operation.answer("200", "done", "application/json", &schema);
    }
}

impl<T: Answer> Answer for Result<T, Problem> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
        let schema = operation.answers.subschema_for::<Problem>().to_value();
        operation.answer("default", "refused", "application/problem+json", &schema);
    }
}

/// Plain text.
pub(super) struct Text(pub(super) String);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl Answer for Text {
    fn describe(operation: &mut Operation<'_>) {
        operation.answer("200", "done", "text/plain", &json!({ "type": "string" }));
    }
}

/// Values as they come, as server-sent events.
pub(super) struct Stream<S, T>(pub(super) S, pub(super) std::marker::PhantomData<T>);

impl<S, T> IntoResponse for Stream<S, T>
where
    S: futures_util::Stream<Item = Result<axum::response::sse::Event, std::convert::Infallible>>
        + Send
        + 'static,
{
    fn into_response(self) -> Response {
        Sse::new(self.0).keep_alive(KeepAlive::default()).into_response()
    }
}

impl<S, T: JsonSchema> Answer for Stream<S, T> {
    fn describe(operation: &mut Operation<'_>) {
        // OpenAPI has no word for a stream's members before 3.2.
        let member = operation.answers.subschema_for::<T>().to_value();
        let schema = json!({ "type": "string", "x-data": member });
        operation.answer("200", "a stream of server-sent events", "text/event-stream", &schema);
    }
}

/// An operation that is being described.
pub(super) struct Operation<'a> {
    json: Map<String, Value>,
    answers: &'a mut SchemaGenerator,
    inputs: &'a mut SchemaGenerator,
}

impl Operation<'_> {
    fn parameter(&mut self, parameter: &Value) {
        let list = self.json.entry("parameters").or_insert_with(|| json!([]));
        list.as_array_mut().into_iter().for_each(|list| list.push(parameter.clone()));
    }

    fn query<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(self.inputs).to_value();
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().cloned().collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            let description = property["description"].take();
            present(&mut property);
            let required = required.iter().any(|required| required == name);
            self.parameter(&json!({
                "name": name, "in": "query", "required": required, "description": description, "schema": property,
            }));
        }
    }

    fn body(&mut self, kind: &str, about: &str, schema: &Value) {
        let body =
            json!({ "required": true, "description": about, "content": { (kind): { "schema": schema } } });
        self.json.insert("requestBody".into(), body);
    }

    pub(super) fn answer(&mut self, status: &str, about: &str, kind: &str, schema: &Value) {
        let responses = self.json.entry("responses").or_insert_with(|| json!({}));
        responses[status]["description"] = about.into();
        responses[status]["content"][kind] = json!({ "schema": schema });
    }
}

/// What is absent from a query is not null there.
fn present(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.retain(|key, value| !(value.is_null() && matches!(key.as_str(), "description" | "default")));
    let one = object.get_mut("type").and_then(Value::as_array_mut).and_then(|types| {
        types.retain(|kind| kind != "null");
        (types.len() == 1).then(|| types.remove(0))
    });
    if let Some(one) = one {
        object.insert("type".into(), one);
    }
    let only = object.get_mut("anyOf").and_then(Value::as_array_mut).and_then(|parts| {
        parts.retain(|part| part["type"] != "null");
        (parts.len() == 1).then(|| parts.remove(0))
    });
    if let Some(only) = only {
        *schema = only;
    }
}

/// All endpoints as an `OpenAPI` 3.1 document.
pub(super) fn openapi(endpoints: &[Endpoint]) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let (mut answers, mut inputs) =
        (settings().for_serialize().into_generator(), settings().into_generator());
    let mut paths = Map::new();
    for endpoint in endpoints {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = endpoint.operation(&mut answers, &mut inputs);
    }
    let mut schemas = inputs.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stagewire's admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Seeing and steering a running host. `x-role` says which role of a token an operation needs.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8081" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "one of `host.admin.tokens`, where there are any" },
            },
        },
    })
}

impl Endpoint {
    fn operation(&self, answers: &mut SchemaGenerator, inputs: &mut SchemaGenerator) -> Value {
        let json = Map::from_iter([
            ("operationId".to_owned(), self.name.into()),
            ("summary".to_owned(), self.summary.into()),
        ]);
        let mut operation = Operation { json, answers, inputs };
        for name in self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let schema = json!({ "type": "string" });
            operation.parameter(&json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        (self.describe)(&mut operation);
        match self.access {
            Access::Open => operation.json.insert("security".into(), json!([])),
            Access::Needs(role) => operation.json.insert("x-role".into(), json!(role)),
        };
        operation.json.into()
    }
}
