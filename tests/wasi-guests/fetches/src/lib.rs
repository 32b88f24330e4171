//! Asks a server about each event, at the path of the event's id, and puts the answer into the extension `answer`. What goes
//! wrong is an error that a later try may get past.

use serde::Deserialize;
use stagewire_plugin::{Emitter, Error, Event, Transform};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guest {
    /// `127.0.0.1:8080`
    authority: String,
    /// Posts the event's data.
    #[serde(default)]
    post: bool,
}

impl Transform for Guest {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let data = self.post.then(|| event.bytes());
        let answer = ask(&self.authority, &format!("/{}", event.id()), data).map_err(Error::transient)?;
        let draft = out.edit(event);
        draft.set("answer", answer)?;
        Ok(())
    }
}

fn ask(authority: &str, path: &str, data: Option<Vec<u8>>) -> Result<String, String> {
    let refused = |()| "no request".to_owned();
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;
    let body = request.body().map_err(refused)?;
    if let Some(data) = data {
        request.set_method(&Method::Post).map_err(refused)?;
        let stream = body.write().map_err(refused)?;
        for chunk in data.chunks(4_096) {
            stream.blocking_write_and_flush(chunk).map_err(|error| error.to_string())?;
        }
    }
    OutgoingBody::finish(body, None).map_err(|error| error.to_string())?;
    let coming = outgoing_handler::handle(request, None).map_err(|error| error.to_string())?;
    coming.subscribe().block();
    let response = coming.get().ok_or("no answer")?.map_err(|()| "taken before")?;
    let response = response.map_err(|error| error.to_string())?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()));
    }
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no body")?;
    let mut read = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => read.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    String::from_utf8(read).map_err(|error| error.to_string())
}

stagewire_plugin::transform!(Guest);
