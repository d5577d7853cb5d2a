//! Subscriptions coming and going.

use tidemill_core::QoS;
use tidemill_core::topic::{Subscription, TopicFilter};
use tokio::time::Instant;

use super::Hub;
use crate::broker::conn::Close;
use crate::broker::group::Group;
use crate::broker::inbound::{Filter, RetainHandling, Subscribe};
use crate::broker::message::{GroupId, Ids, Outgoing, Pending, SessionId};
use crate::broker::quirks::SharedSubscriptions;
use crate::broker::session::{Grant, Subscribed};
use crate::broker::trace::What;
use crate::broker::window::Origin;
use crate::wire::Version;

const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
const PROTOCOL_ERROR: u8 = 0x82;
const NOT_AUTHORIZED: u8 = 0x87;
const TOPIC_FILTER_INVALID: u8 = 0x8F;
const QUOTA_EXCEEDED: u8 = 0x97;
const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: u8 = 0x9E;
/// The one code for failure that MQTT 3.1.1 has.
const FAILURE: u8 = 0x80;

impl Hub {
    pub(super) fn subscribe(&mut self, id: SessionId, subscribe: Subscribe, now: Instant) -> Result<(), Close> {
        let version = self.version(id);
        let Subscribe { pkid, id: subscription_id, filters } = subscribe;
        let mut codes = Vec::with_capacity(filters.len());
        let mut retained = Vec::new();
        let too_many = self.config.quirks.max_filters_per_subscribe.is_some_and(|most| filters.len() > most);
        for filter in filters {
            if too_many {
                codes.push(if version == Version::V4 { FAILURE } else { QUOTA_EXCEEDED });
                continue;
            }
            let code = match self.subscribe_one(id, &filter, subscription_id, now)? {
                Ok(pending) => {
                    retained.extend(pending);
                    filter.qos.min(QoS::AtLeastOnce).level()
                }
                Err(_) if version == Version::V4 => FAILURE,
                Err(code) => code,
            };
            if let Some(session) = self.sessions.get(&id) {
                self.ledger.trace.record(&session.client, || What::Subscribed { filter: filter.text, code });
            }
            codes.push(code);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.answer(Outgoing::SubAck { pkid, codes });
            for pending in retained {
                session.gate.add(pending.message.size());
                session.queue.push_back(pending);
            }
        }
        self.touch_session(id);
        Ok(())
    }

    /// Adds one subscription; the retained events that it gets, or the code that refuses it.
    fn subscribe_one(
        &mut self,
        id: SessionId,
        filter: &Filter,
        subscription_id: Option<u32>,
        now: Instant,
    ) -> Result<Result<Vec<Pending>, u8>, Close> {
        let quirks = &self.config.quirks;
        let Some(session) = self.sessions.get(&id) else { return Ok(Err(FAILURE)) };
        let is_new = !session.subscriptions.contains_key(&*filter.text);
        if is_new && session.subscriptions.len() >= self.config.max_subscriptions {
            return Ok(Err(QUOTA_EXCEEDED));
        }
        let refused = quirks.forbid_multi_level && filter.text.split('/').any(|level| level == "#");
        if refused || quirks.refused_filters.contains(&filter.text) {
            return Ok(Err(NOT_AUTHORIZED));
        }
        let shared = filter.text.starts_with("$share/");
        let qos = filter.qos.min(QoS::AtLeastOnce);
        let grant = Grant {
            qos,
            id: subscription_id,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
        };
        match quirks.shared_subscriptions {
            SharedSubscriptions::Unavailable if shared => return Ok(Err(SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)),
            SharedSubscriptions::Refused if shared => return Ok(Err(NOT_AUTHORIZED)),
            SharedSubscriptions::SilentlyPlain | SharedSubscriptions::AnnouncedUnavailable if shared => {
                self.routes.subscribe(&filter.text, id, grant);
                self.note_subscription(id, &filter.text, Subscribed::Plain);
                return Ok(Ok(Vec::new()));
            }
            _ => {}
        }
        if shared && filter.no_local {
            // [MQTT-3.8.3-4]
            return Err(Close::Broker(PROTOCOL_ERROR));
        }
        let Ok(subscription) = filter.text.parse::<Subscription>() else { return Ok(Err(TOPIC_FILTER_INVALID)) };
        if subscription.filter.as_str().split('/').count() > self.config.levels() {
            return Ok(Err(TOPIC_FILTER_INVALID));
        }
        if !self.config.access.may_subscribe(&subscription.filter) {
            return Ok(Err(NOT_AUTHORIZED));
        }
        if let Some(share) = &subscription.share {
            let group = self.group(share.as_str(), subscription.filter.as_str());
            self.join(id, group, &grant);
            self.note_subscription(id, &filter.text, Subscribed::Group(group));
            // Retained events are not for groups.
            return Ok(Ok(Vec::new()));
        }
        self.routes.subscribe(subscription.filter.as_str(), id, grant);
        self.note_subscription(id, &filter.text, Subscribed::Plain);
        let wants_retained = match filter.retain {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        Ok(Ok(if wants_retained { self.retained_for(&subscription.filter, &grant, now) } else { Vec::new() }))
    }

    fn retained_for(&mut self, filter: &TopicFilter, grant: &Grant, now: Instant) -> Vec<Pending> {
        let found = self.retained.matching(filter, now);
        let pending = found.into_iter().map(|message| Pending {
            qos: message.qos.min(grant.qos),
            message,
            retain: true,
            ids: grant.id.into_iter().collect::<Ids>(),
            origin: Origin::Plain,
        });
        pending.collect()
    }

    fn note_subscription(&mut self, id: SessionId, text: &str, subscribed: Subscribed) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.subscriptions.insert(text.into(), subscribed);
        }
    }

    /// The group of that share and filter, made if need be.
    fn group(&mut self, share: &str, filter: &str) -> GroupId {
        let key = (Box::from(share), Box::from(filter));
        if let Some(id) = self.shares.get(&key) {
            return *id;
        }
        let id = self.next_id();
        self.shares.insert(key.clone(), id);
        self.groups.insert(id, Group::new(id, key));
        id
    }

    fn join(&mut self, session: SessionId, id: GroupId, grant: &Grant) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if !group.has_members() {
            self.routes.add_group(&group.key.1, id);
        }
        group.join(session, *grant);
        if let Some(session) = self.sessions.get_mut(&session)
            && !session.groups.contains(&id)
        {
            session.groups.push(id);
        }
        self.touch_group(id);
    }

    pub(super) fn unsubscribe(&mut self, id: SessionId, pkid: u16, filters: &[String]) {
        let mut codes = Vec::with_capacity(filters.len());
        for text in filters {
            let Some(session) = self.sessions.get_mut(&id) else { return };
            self.ledger.trace.record(&session.client, || What::Unsubscribed { filter: text.clone() });
            let subscribed = session.subscriptions.remove(&**text);
            codes.push(if subscribed.is_some() { 0 } else { NO_SUBSCRIPTION_EXISTED });
            if let Some(subscribed) = subscribed {
                self.drop_subscription(id, text, subscribed);
            }
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.answer(Outgoing::UnsubAck { pkid, codes });
        }
    }

    /// Takes a subscription out of the routes or out of its group. What the member holds stays with it.
    pub(super) fn drop_subscription(&mut self, id: SessionId, text: &str, subscribed: Subscribed) {
        match subscribed {
            Subscribed::Plain => self.routes.unsubscribe(text, id),
            Subscribed::Group(group_id) => {
                let mut online = false;
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.groups.retain(|other| *other != group_id);
                    session.turn = 0;
                    online = session.online.is_some();
                }
                if let Some(group) = self.groups.get_mut(&group_id) {
                    group.leave(id, online);
                    if !group.has_members() {
                        self.routes.remove_group(&group.key.1, group_id);
                        self.settle_group(group_id);
                    }
                }
            }
        }
    }

    /// Drops the queue of a group without members, and the group itself once no former member holds an event of it:
    /// until then what such a member fails to acknowledge can still go to one that joins anew.
    pub(super) fn settle_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        self.ledger.counters.dropped += group.clear();
        if group.in_flight == 0
            && let Some(group) = self.groups.remove(&id)
        {
            self.shares.remove(&group.key);
        }
    }
}
