//! The host's container engine, Docker or Podman, over its socket.
//!
//! Not here: what a container should be like (see `container`).

use std::path::{Path, PathBuf};

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt as _;

use super::error::ResourceError;

/// How long the engine may take to answer, in seconds; fetching an image sends something all the time.
const ANSWER_SECS: u64 = 120;

/// How long a container may take to end by itself, in seconds, before it is killed.
const STOP_SECS: i32 = 10;

/// A connection to the engine.
pub(crate) struct ContainerEngine(Docker);

/// The engine has no such thing.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// It is so already.
fn is_done(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 304, .. })
}

fn refused(doing: &'static str, name: &str) -> impl FnOnce(Error) -> ResourceError {
    let name = name.to_owned();
    move |error| {
        if let Error::DockerResponseServerError { message: why, .. } = error {
            return ResourceError::EngineRefused { doing, name, why };
        }
        ResourceError::EngineAway { why: error.to_string() }
    }
}

impl ContainerEngine {
    /// Connects to the first of `sockets` that is there.
    pub(crate) async fn connect(sockets: &[PathBuf]) -> Result<Self, ResourceError> {
        if sockets.is_empty() {
            return Err(ResourceError::NoEngine);
        }
        let away = |why: String| ResourceError::EngineAway { why };
        let Some(socket) = sockets.iter().find(|socket| socket.exists()) else {
            let names: Vec<_> = sockets.iter().map(|socket| socket.display().to_string()).collect();
            return Err(away(format!("there is no {}", names.join(" and no "))));
        };
        let docker = connect(socket).map_err(|error| away(error.to_string()))?;
        // Podman speaks an older version than Docker's newest.
        let docker = docker.negotiate_version().await.map_err(|error| away(error.to_string()))?;
        Ok(Self(docker))
    }

    /// Looks at a container. `None`: there is none of this name.
    pub(crate) async fn look(
        &self,
        name: &str,
    ) -> Result<Option<ContainerInspectResponse>, ResourceError> {
        match self.0.inspect_container(name, None).await {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("inspect", name)(error)),
        }
    }

    /// The id of an image that the engine has.
    pub(crate) async fn image(&self, image: &str) -> Result<Option<String>, ResourceError> {
        match self.0.inspect_image(image).await {
            Ok(seen) => Ok(seen.id),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("inspect", image)(error)),
        }
    }

    /// Fetches an image.
    pub(crate) async fn pull(&self, image: &str) -> Result<(), ResourceError> {
        let options = CreateImageOptionsBuilder::default().from_image(image).build();
        let mut progress = std::pin::pin!(self.0.create_image(Some(options), None, None));
        while let Some(step) = progress.next().await {
            step.map_err(|error| ResourceError::PullFailed {
                image: image.to_owned(),
                why: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// Makes a container; it does not run yet.
    pub(crate) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<(), ResourceError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        self.0.create_container(Some(options), body).await.map_err(refused("create", name))?;
        Ok(())
    }

    /// Starts a container, or lets one go on that was paused.
    pub(crate) async fn start(&self, name: &str, is_paused: bool) -> Result<(), ResourceError> {
        let started = if is_paused {
            self.0.unpause_container(name).await
        } else {
            self.0.start_container(name, None).await
        };
        done(started).map_err(refused("start", name))
    }

    /// Ends a container: asked first, then killed.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), ResourceError> {
        let options = StopContainerOptionsBuilder::default().t(STOP_SECS).build();
        done(self.0.stop_container(name, Some(options)).await).map_err(refused("stop", name))
    }

    /// Removes a container; nothing happens when there is none.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ResourceError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        match self.0.remove_container(name, Some(options)).await {
            Err(error) if is_absent(&error) => Ok(()),
            other => other.map_err(refused("remove", name)),
        }
    }

    /// Gives a container another name.
    pub(crate) async fn rename(&self, from: &str, to: &str) -> Result<(), ResourceError> {
        let options = RenameContainerOptionsBuilder::default().name(to).build();
        self.0.rename_container(from, options).await.map_err(refused("rename", from))
    }
}

fn connect(socket: &Path) -> Result<Docker, Error> {
    Docker::connect_with_unix(&socket.to_string_lossy(), ANSWER_SECS, API_DEFAULT_VERSION)
}

fn done(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if is_done(&error) => Ok(()),
        other => other,
    }
}
