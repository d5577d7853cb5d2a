//! The state that all connections share: sessions, groups, routes, retained events, timers.
//!
//! It is plain data behind one mutex, without I/O and without waiting: a connection takes the lock once per burst of
//! packets. Two invariants hold whenever the lock is free: every queue is empty or nobody connected has room for its
//! front, and every session with something to write has been signalled.

mod attach;
mod burst;
mod deliver;
mod detach;
mod publish;
mod subscribe;

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(super) use attach::{Attached, Connecting};

use super::config::BrokerConfig;
use super::conn::{Close, Conn, ConnId};
use super::group::Group;
use super::ledger::Ledger;
use super::message::{GroupId, SessionId};
use super::retained::Retained;
use super::routes::Routes;
use super::session::Session;
use super::stats::BrokerStats;
use super::timers::{Due, Timers};

type ById<V> = HashMap<u64, V, foldhash::fast::RandomState>;

/// A connection and the session that it is attached to. When the session has another connection by now, nothing that
/// is asked in this one's name has an effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) session: SessionId,
    pub(super) conn: ConnId,
}

#[derive(Debug)]
pub(super) struct Hub {
    config: Arc<BrokerConfig>,
    sessions: ById<Session>,
    clients: HashMap<Arc<str>, SessionId>,
    groups: ById<Group>,
    shares: HashMap<(Box<str>, Box<str>), GroupId>,
    routes: Routes,
    retained: Retained,
    timers: Timers,
    /// A timer was set since the housekeeper looked.
    timer_set: bool,
    ledger: Ledger,
    conns: HashMap<ConnId, (Arc<Conn>, Option<AbortHandle>)>,
    /// Connections to wake once the lock is free.
    wakes: SmallVec<[Arc<Conn>; 8]>,
    touched_sessions: Vec<SessionId>,
    touched_groups: Vec<GroupId>,
    last_id: u64,
    closed: bool,
}

impl Hub {
    pub(super) fn new(config: Arc<BrokerConfig>) -> Self {
        let ledger = Ledger::new(config.trace);
        Self {
            config,
            sessions: HashMap::default(),
            clients: HashMap::new(),
            groups: HashMap::default(),
            shares: HashMap::new(),
            routes: Routes::default(),
            retained: Retained::default(),
            timers: Timers::default(),
            timer_set: false,
            ledger,
            conns: HashMap::new(),
            wakes: SmallVec::new(),
            touched_sessions: Vec::new(),
            touched_groups: Vec::new(),
            last_id: 0,
            closed: false,
        }
    }

    /// What is left in the place of a hub that was taken away: it lets nobody in.
    pub(super) fn closed() -> Self {
        Self { closed: true, ..Self::new(Arc::new(BrokerConfig::in_memory())) }
    }

    /// Goes on with the sessions and retained events of a broker that was stopped.
    pub(super) fn reopen(mut self, config: Arc<BrokerConfig>) -> Self {
        self.ledger = Ledger::new(config.trace);
        self.config = config;
        self.timer_set = true;
        // Tasks that did not end yet unregister from the old broker.
        self.conns.clear();
        self.closed = false;
        self
    }

    /// Lets nobody in any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn take_wakes(&mut self) -> SmallVec<[Arc<Conn>; 8]> {
        std::mem::take(&mut self.wakes)
    }

    pub(super) fn take_timer_set(&mut self) -> bool {
        std::mem::take(&mut self.timer_set)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Makes a connection known; `None` when there are far too many or the broker is closed.
    pub(super) fn register(&mut self) -> Option<Arc<Conn>> {
        // Somewhat more than may attach, so that those beyond can be told.
        if self.closed || self.conns.len() >= self.config.max_connections.saturating_add(64) {
            return None;
        }
        let conn = Arc::new(Conn::new(self.next_id()));
        self.conns.insert(conn.id, (Arc::clone(&conn), None));
        Some(conn)
    }

    /// Notes how to abort the task of a connection that is still known.
    pub(super) fn set_abort(&mut self, conn: ConnId, abort: AbortHandle) {
        if let Some(entry) = self.conns.get_mut(&conn) {
            entry.1 = Some(abort);
        }
    }

    pub(super) fn unregister(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    pub(super) fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Ends every connection and detaches its session at once; returns how to abort the tasks.
    pub(super) fn close_all(&mut self, close: Close, now: Instant) -> Vec<AbortHandle> {
        let attached: Vec<Who> = self.sessions.values().filter_map(who).collect();
        let aborts = self.conns.values().filter_map(|(conn, abort)| {
            conn.close(close);
            abort.clone()
        });
        let aborts = aborts.collect();
        for who in attached {
            self.detach_one(who, close, now);
        }
        self.settle(None, now);
        aborts
    }

    /// Ends the connection of one client; `false` when it has none.
    pub(super) fn close_client(&mut self, client: &str, close: Close, now: Instant) -> bool {
        let session = self.clients.get(client).and_then(|id| self.sessions.get(id));
        let Some(online) = session.and_then(|session| session.online.as_ref()) else { return false };
        online.conn.close(close);
        if let Some(who) = session.and_then(who) {
            self.detach(who, close, now);
        }
        true
    }

    /// Forgets the wills: nobody is there to be told.
    pub(super) fn drop_wills(&mut self) {
        for session in self.sessions.values_mut() {
            session.will = None;
        }
    }

    /// Does what is due; returns when to look again.
    pub(super) fn run_timers(&mut self, now: Instant) -> Option<Instant> {
        while let Some(timer) = self.timers.pop_due(now) {
            let Some(session) = self.sessions.get_mut(&timer.session) else { continue };
            if session.life != timer.life || session.online.is_some() {
                continue;
            }
            match timer.due {
                Due::Will => {
                    if let Some(will) = session.will.take() {
                        self.publish_will(&will, now);
                    }
                }
                Due::SessionEnd => {
                    self.end_session(timer.session, now);
                    self.settle(None, now);
                }
            }
        }
        self.timers.next()
    }

    pub(super) fn stats(&self) -> BrokerStats {
        let counters = &self.ledger.counters;
        let queued_sessions: usize = self.sessions.values().map(|session| session.queue.len()).sum();
        let queued_groups: usize = self.groups.values().map(Group::queued).sum();
        BrokerStats {
            connections: self.sessions.values().filter(|session| session.online.is_some()).count(),
            sessions: self.sessions.len(),
            groups: self.groups.values().filter(|group| group.has_members()).count(),
            retained: self.retained.len(),
            queued: queued_sessions + queued_groups,
            inflight: self.sessions.values().map(|session| session.window.live()).sum(),
            published: counters.published,
            delivered: counters.delivered,
            redelivered: counters.redelivered,
            acked: counters.acked,
            dropped: counters.dropped,
            expired: counters.expired,
            too_large: counters.too_large,
            nobody: counters.nobody,
            refused: counters.refused,
        }
    }

    pub(super) fn trace(&self) -> Vec<super::trace::Traced> {
        self.ledger.trace.lines()
    }
}

fn who(session: &Session) -> Option<Who> {
    session.online.as_ref().map(|online| Who { session: session.id, conn: online.conn.id })
}
