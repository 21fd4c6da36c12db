//! The host's systemd, over D-Bus.
//!
//! Not here: what a unit should be like (see `systemd_unit`).

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use wavegate_proto::artifact::bundle::UnitState;
use zbus::connection::Builder;
use zbus::fdo::PropertiesProxy;
use zbus::{Connection, OwnedObjectPath};

use super::error::ResourceError;

/// Where the bus of the whole system is.
pub const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// The longest a job of systemd is waited for; its own default limit is 90 s.
const JOB_TIME: Duration = Duration::from_secs(600);

/// The longest systemd may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit_file_state(&self, name: &str) -> zbus::Result<String>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn enable_unit_files(
        &self,
        names: &[&str],
        runtime: bool,
        force: bool,
    ) -> zbus::Result<(bool, Vec<(String, String, String)>)>;
    fn disable_unit_files(
        &self,
        names: &[&str],
        runtime: bool,
    ) -> zbus::Result<Vec<(String, String, String)>>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
    #[zbus(signal)]
    fn unit_files_changed(&self) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn load_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn need_daemon_reload(&self) -> zbus::Result<bool>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn state_change_timestamp(&self) -> zbus::Result<u64>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"), name = "NRestarts")]
    fn restarts(&self) -> zbus::Result<u32>;
}

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitSeen {
    pub(crate) load: String,
    pub(crate) active: String,
    pub(crate) sub: String,
    /// Microseconds since 1970; 0: never.
    pub(crate) since_usec: u64,
    /// Of services.
    pub(crate) restarts: Option<u32>,
    /// Its files have changed since systemd read them.
    pub(crate) is_stale: bool,
    /// As systemd says it; `None`: there is no file.
    pub(crate) file_state: Option<String>,
}

impl UnitSeen {
    pub(crate) fn state(&self) -> UnitState {
        match self.active.as_str() {
            "active" | "activating" | "reloading" | "refreshing" => UnitState::Active,
            _ => UnitState::Inactive,
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        matches!(self.file_state.as_deref(), Some("enabled" | "enabled-runtime" | "alias"))
    }
}

/// The interface whose properties tell whether a unit runs.
const UNIT_INTERFACE: &str = "org.freedesktop.systemd1.Unit";

/// What systemd tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnitNews {
    /// Units were enabled or disabled.
    Files,
    /// Something of a unit changed.
    Properties {
        /// The unit.
        name: String,
        /// Its active state now.
        active: String,
    },
}

/// What to do with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitJob {
    Start,
    Stop,
    Restart,
}

/// A connection to systemd.
pub(crate) struct Systemd {
    connection: Connection,
    manager: ManagerProxy<'static>,
}

pub(super) fn refused(
    doing: &'static str,
    name: &str,
) -> impl FnOnce(zbus::Error) -> ResourceError {
    let unit = name.to_owned();
    move |error| {
        if let zbus::Error::MethodError(code, message, _) = &error {
            let why = message.clone().unwrap_or_else(|| code.to_string());
            return ResourceError::UnitRefused { doing, unit, why };
        }
        ResourceError::SystemdAway { why: error.to_string() }
    }
}

impl Systemd {
    /// Connects to the bus at `address`.
    pub(crate) async fn connect(address: &str) -> Result<Self, ResourceError> {
        let lost = |error: zbus::Error| ResourceError::SystemdAway { why: error.to_string() };
        let builder = Builder::address(address).method_timeout(ANSWER_TIME);
        let connection = builder.build().await.map_err(lost)?;
        let manager = ManagerProxy::new(&connection).await.map_err(lost)?;
        Ok(Self { connection, manager })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Looks at a unit.
    pub(crate) async fn look(&self, name: &str) -> Result<UnitSeen, ResourceError> {
        let path = self.manager.load_unit(name).await.map_err(refused("load", name))?;
        let unit = UnitProxy::builder(&self.connection).path(path.clone()).build().await;
        let unit = unit.map_err(refused("look at", name))?;
        let service = ServiceProxy::builder(&self.connection).path(path).build().await;
        let service = service.map_err(refused("look at", name))?;
        // Only services have such a number.
        let restarts = service.restarts().await.ok();
        let of = refused("look at", name);
        let read = async {
            zbus::Result::Ok(UnitSeen {
                load: unit.load_state().await?,
                active: unit.active_state().await?,
                sub: unit.sub_state().await?,
                since_usec: unit.state_change_timestamp().await?,
                restarts,
                is_stale: unit.need_daemon_reload().await?,
                // No such file is an answer like another.
                file_state: self.manager.get_unit_file_state(name).await.ok(),
            })
        };
        read.await.map_err(of)
    }

    /// Lets systemd read all units again.
    pub(crate) async fn reload(&self) -> Result<(), ResourceError> {
        self.manager.reload().await.map_err(refused("reload", "all units"))
    }

    /// Enables or disables a unit.
    pub(crate) async fn enable(&self, name: &str, enabled: bool) -> Result<(), ResourceError> {
        if enabled {
            let done = self.manager.enable_unit_files(&[name], false, true).await;
            done.map(|_| ()).map_err(refused("enable", name))
        } else {
            let done = self.manager.disable_unit_files(&[name], false).await;
            done.map(|_| ()).map_err(refused("disable", name))
        }
    }

    /// Lets systemd tell what happens, for as long as the connection stands.
    pub(crate) async fn subscribe(&self) -> Result<(), ResourceError> {
        let done = self.manager.subscribe().await.or_else(already_subscribed);
        done.map_err(refused("watch", "all units"))
    }

    /// Tells when units are enabled or disabled.
    pub(crate) async fn file_news(&self) -> Result<BoxStream<'static, UnitNews>, ResourceError> {
        let changes = self.manager.receive_unit_files_changed().await;
        let changes = changes.map_err(refused("watch", "all units"))?;
        Ok(changes.map(|_| UnitNews::Files).boxed())
    }

    /// Tells when a unit is started, stopped, or fails.
    pub(crate) async fn news_of(
        &self,
        name: &str,
    ) -> Result<BoxStream<'static, UnitNews>, ResourceError> {
        let path = self.manager.load_unit(name).await.map_err(refused("load", name))?;
        let changes = async {
            let builder = PropertiesProxy::builder(&self.connection);
            let properties =
                builder.destination("org.freedesktop.systemd1").path(path).build().await?;
            properties.receive_properties_changed_with_args(&[(0, UNIT_INTERFACE)]).await
        };
        let changes = changes.await.map_err(refused("watch", name))?;
        let unit = name.to_owned();
        let news = changes.filter_map(move |change| {
            let active = change.args().ok().and_then(|change| {
                let active = change.changed_properties.get("ActiveState")?;
                active.downcast_ref::<&str>().ok().map(str::to_owned)
            });
            let news = active.map(|active| UnitNews::Properties { name: unit.clone(), active });
            std::future::ready(news)
        });
        Ok(news.boxed())
    }

    /// Starts, stops or restarts a unit and waits for the end of that.
    pub(crate) async fn run(&self, job: UnitJob, name: &str) -> Result<(), ResourceError> {
        let doing = match job {
            UnitJob::Start => "start",
            UnitJob::Stop => "stop",
            UnitJob::Restart => "restart",
        };
        let of = || refused(doing, name);
        self.subscribe().await?;
        let mut removed = self.manager.receive_job_removed().await.map_err(of())?;
        if job != UnitJob::Stop {
            // A unit that failed too often is not started before that is forgotten.
            let _never_failed = self.manager.reset_failed_unit(name).await;
        }
        let path = match job {
            UnitJob::Start => self.manager.start_unit(name, "replace").await,
            UnitJob::Stop => self.manager.stop_unit(name, "replace").await,
            UnitJob::Restart => self.manager.restart_unit(name, "replace").await,
        };
        let path = path.map_err(of())?;
        let ended = async {
            while let Some(signal) = removed.next().await {
                let arguments = signal.args().map_err(of())?;
                if arguments.job == path {
                    return Ok(arguments.result.to_owned());
                }
            }
            Err(ResourceError::SystemdAway { why: "the connection ended".to_owned() })
        };
        let result = tokio::time::timeout(JOB_TIME, ended).await;
        match result.unwrap_or_else(|_| Ok("no end".to_owned()))?.as_str() {
            "done" => Ok(()),
            other => Err(ResourceError::UnitRefused {
                doing,
                unit: name.to_owned(),
                why: format!("the job ended with {other}; see `journalctl -u {name}`"),
            }),
        }
    }
}

fn already_subscribed(error: zbus::Error) -> zbus::Result<()> {
    if let zbus::Error::MethodError(code, _, _) = &error
        && code.ends_with("AlreadySubscribed")
    {
        return Ok(());
    }
    Err(error)
}
