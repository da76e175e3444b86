use super::Resolver;
use crate::spec::language::{Health, HealthForm};
use crate::spec::service::{HealthTest, Healthcheck, Inherit, ProbeCheck};
use crate::spec::shape::Field;
use crate::spec::sources::Span;

impl Resolver<'_> {
    pub(super) fn healthcheck(&mut self, field: &Field<HealthForm>) -> Inherit<Healthcheck> {
        let set = match field {
            Field::Removed => return Inherit::Removed,
            Field::Absent | Field::Broken => return Inherit::Base,
            Field::Set(set) => set,
        };
        let alone =
            |test| Healthcheck { test, interval: None, timeout: None, start_period: None, retries: None };
        let health = match &set.value {
            HealthForm::None => return Inherit::Set(alone(HealthTest::None)),
            HealthForm::Address(address) => {
                let probe = |url| HealthTest::Probe(ProbeCheck { url, status: None, body: None });
                let address = self.late(address);
                return address.map_or(Inherit::Base, |address| Inherit::Set(alone(probe(address.0))));
            }
            HealthForm::Map(health) => health,
        };
        let test = self.health_test(health, set.span);
        if let Some(retries) = health.retries.get().filter(|retries| retries.value.0 == 0) {
            self.reader.say(retries.span, "`retries` is 1 at least");
        }
        Inherit::Set(Healthcheck {
            test,
            interval: self.word(&health.interval),
            timeout: self.word(&health.timeout),
            start_period: self.word(&health.start_period),
            retries: health.retries.value().map(|retries| retries.0),
        })
    }

    /// What the map runs: exactly one of its four ways.
    fn health_test(&mut self, health: &Health, span: Span) -> HealthTest {
        let command = self.texts(&health.command, |word| word);
        let is_broken =
            matches!(health.command, Field::Broken) || health.command.value().is_some_and(|items| items.1);
        let said = [
            ("command", !command.is_empty() || is_broken),
            ("http", health.http.is_said()),
            ("grpc", health.grpc.is_said()),
            ("tcp", health.tcp.is_said()),
        ];
        let said: Vec<&str> =
            said.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name).collect();
        match said.as_slice() {
            [] => {
                let message = "`healthcheck` without `command`, `http`, `grpc` or `tcp`";
                let hint =
                    "write `http: \":8000/health\"`, `command: [PROGRAM, ARGUMENT]`, or `healthcheck: none`";
                self.reader.say(span, message).hint(hint);
            }
            [_] => {}
            [one, other, ..] => {
                let message = format!("`healthcheck` with `{one}` and `{other}`: one of them is the check");
                let hint = format!("`{one}: null` removes what was extended");
                self.reader.say(span, message).hint(hint);
            }
        }
        for (name, is_said, at) in [
            ("status", health.status.is_said(), health.status.get().map(|set| set.span)),
            ("body", health.body.is_said(), health.body.get().map(|set| set.span)),
        ] {
            if is_said && !health.http.is_said() {
                self.reader.say(at.unwrap_or(span), format!("`{name}` is for `http` alone"));
            }
        }
        let http = self.word(&health.http).map(|address| address.0);
        let grpc = self.word(&health.grpc).map(|address| address.0);
        let tcp = self.word(&health.tcp).map(|address| address.0);
        let (status, body) = (self.word(&health.status).map(|status| status.0), self.word(&health.body));
        match http.or(grpc).or(tcp) {
            Some(url) => HealthTest::Probe(ProbeCheck { url, status, body }),
            None => HealthTest::Command(command),
        }
    }
}
