//! Port-forward as a stream of bytes. The API server strips `Authorization` from its pod proxy
//! ([OP-79]), so this is the only way to EMQX through it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::cluster::Cluster;
use super::error::ApiError;
use crate::error::{Cause, Problem};
use crate::model::PodName;
use crate::ports::{BoxedFuture, Bytes, Tunnel};
use crate::timing::PORT_FORWARD_TIMEOUT;

impl Tunnel for Cluster {
    fn open<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a PodName,
        port: u16,
    ) -> BoxedFuture<'a, Box<dyn Bytes>> {
        Box::pin(async move {
            let what = || format!("cannot reach port {port} of pod {namespace}/{pod}");
            let api: Api<Pod> = Api::namespaced(self.api.client.clone(), namespace);
            let ports = [port];
            let opening =
                tokio::time::timeout(PORT_FORWARD_TIMEOUT, api.portforward(pod.as_str(), &ports)).await;
            let mut forwarder = match opening {
                Ok(Ok(forwarder)) => forwarder,
                Ok(Err(error)) => {
                    return Err(refused(what(), &ApiError::of(&self.api.server, &error)));
                }
                Err(_) => return Err(Problem::new(what(), "port-forward was not answered within 10 s")),
            };
            let stream = forwarder.take_stream(port);
            let error = forwarder.take_error(port);
            let (Some(stream), Some(error)) = (stream, error) else {
                return Err(Problem::new(what(), "port-forward gave no stream"));
            };
            let bytes: Box<dyn Bytes> = Box::new(PodStream { stream, error: Some(Box::pin(error)) });
            Ok(bytes)
        })
    }
}

/// The problem of a refused port-forward. API servers from 1.35 on require both verbs for a port-forward over
/// a WebSocket, and refuse without a message when only `create` is missing. The sentence itself names the
/// permissions: notices have no hint.
fn refused(what: String, trouble: &ApiError) -> Problem {
    const NEEDS: &str = "verbs get and create on pods/portforward";
    let mut problem = trouble.problem(what, NEEDS);
    if problem.cause == Cause::Forbidden {
        problem.why = format!("{} (needs {NEEDS})", problem.why.trim_end().trim_end_matches(':'));
    }
    problem
}

type Message = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// The stream of one port, with the kubelet's own reason for its end (nothing listens, the pod is deleted).
struct PodStream {
    stream: DuplexStream,
    error: Option<Message>,
}

impl PodStream {
    fn failure(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        match self.error.as_mut()?.as_mut().poll(context) {
            Poll::Ready(text) => {
                self.error = None;
                text.map(|text| io::Error::other(text.trim().to_owned()))
            }
            Poll::Pending => None,
        }
    }
}

impl AsyncRead for PodStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.failure(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for PodStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_message_still_names_both_verbs() {
        let trouble = ApiError::Refused {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: "pods \"emqx-core-0\" is forbidden: ".to_owned(),
        };
        let problem = refused("cannot reach port 18083 of pod mq/emqx-core-0".to_owned(), &trouble);
        assert_eq!(problem.cause, Cause::Forbidden);
        assert_eq!(
            problem.why,
            "pods \"emqx-core-0\" is forbidden (needs verbs get and create on pods/portforward)"
        );
    }
}
