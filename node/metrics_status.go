package node

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qifeng/api"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/proof/checkpoint"
)

// statusCollector asks the rooms for their state at each scrape.
type statusCollector struct{ m *metrics }

// gauge is one number of a state; NaN says that there is none, as an age before
// the first event.
type gauge[S any] struct {
	desc  *prometheus.Desc
	value func(s *S, now time.Time) float64
}

func newGauge[S any](name, help string, value func(*S, time.Time) float64) gauge[S] {
	return gauge[S]{newDesc(name, help), value}
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var chainGauges = []gauge[chain.Status]{
	newGauge("chain_height", "Height of the newest block.", func(s *chain.Status, _ time.Time) float64 { return float64(s.Height) }),
	newGauge("chain_ledger_entries", "Entries of the ledger.", func(s *chain.Status, _ time.Time) float64 { return float64(s.Size) }),
	newGauge("chain_last_block_age_seconds", "Age of the newest block by the time in its header.", func(s *chain.Status, now time.Time) float64 { return age(now, s.LastBlockTime) }),
	newGauge("chain_last_commit_age_seconds", "Time since this node last saw the chain alive.", func(s *chain.Status, now time.Time) float64 { return age(now, s.LastCommit) }),
	newGauge("chain_catching_up", "1 while the node starts or follows the others.", func(s *chain.Status, _ time.Time) float64 { return truth(s.CatchingUp) }),
	newGauge("chain_mempool_transactions", "Transactions that wait for a block.", func(s *chain.Status, _ time.Time) float64 { return float64(s.Mempool) }),
	newGauge("chain_stall_seconds", "Time without a block though a quorum of members is connected and works on it.", func(s *chain.Status, _ time.Time) float64 { return s.Stall.For.Seconds() }),
	newGauge("chain_stall_limit_seconds", "The same at which consensus is taken for dead and the process ends.", func(s *chain.Status, _ time.Time) float64 { return s.Stall.Limit.Seconds() }),
	newGauge("sealed_entries", "Ledger entries under the newest sealed checkpoint.", func(s *chain.Status, _ time.Time) float64 { return float64(s.Sealed.Size) }),
	newGauge("sealed_age_seconds", "Age of the newest sealed checkpoint by its sealed time.", func(s *chain.Status, now time.Time) float64 { return age(now, s.Sealed.Time) }),
	newGauge("quorum_met", "1 while enough members are sealing.", func(s *chain.Status, _ time.Time) float64 { return truth(s.Quorum.Met) }),
	newGauge("guard_ok", "1 while this member gives seals.", func(s *chain.Status, _ time.Time) float64 { return truth(s.Guard.OK) }),
	newGauge("guard_alarm", "1 while this member gives no seal and a person must look.", func(s *chain.Status, _ time.Time) float64 { return truth(s.Guard.Alarm) }),
	newGauge("guard_entries", "Ledger entries under the newest checkpoint that this member's keys sealed.", func(s *chain.Status, _ time.Time) float64 { return float64(s.Guard.Size) }),
}

var archiveGauges = []gauge[archive.Status]{
	newGauge("intake_accepting", "1 while records are accepted.", func(s *archive.Status, _ time.Time) float64 { return truth(s.Accepting) }),
	newGauge("intake_pending_records", "Records that wait for their fsync.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Pending) }),
	newGauge("batch_open_records", "Records of the open batch.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Open.Records) }),
	newGauge("batch_open_age_seconds", "Age of the open batch's first record, 0 while it is empty.", func(s *archive.Status, now time.Time) float64 { return orZero(age(now, s.Open.Since)) }),
	newGauge("batch_queued", "Closed batches that are not known to be on the chain.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Queued.Batches) }),
	newGauge("batch_queued_records", "Records of those.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Queued.Records) }),
	newGauge("batch_in_flight", "1 while a header is being sent to the chain.", func(s *archive.Status, _ time.Time) float64 { return truth(s.InFlight.Seq > 0) }),
	newGauge("batch_in_flight_age_seconds", "Time since it was first sent, 0 while there is none.", func(s *archive.Status, now time.Time) float64 { return orZero(age(now, s.InFlight.Since)) }),
	newGauge("batch_in_flight_sends", "How often it was handed to the mempool.", func(s *archive.Status, _ time.Time) float64 { return float64(s.InFlight.Sent) }),
	newGauge("batch_committed_seq", "Number of the newest own batch on the chain.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Committed) }),
	newGauge("archive_journal_bytes", "Size of the open batch's journal.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Open.Bytes) }),
	newGauge("archive_backlog_records", "Records that are not known to be on the chain.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Open.Records + s.Queued.Records) }),
	newGauge("archive_backlog_bytes", "Bytes of those, in journals and outbox.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Open.Bytes + s.Queued.Bytes) }),
	newGauge("archive_lost_batches", "Own batches on the ledger that this node, restored from a backup, does not have.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Lost.Batches) }),
	newGauge("archive_lost_records", "Records of those.", func(s *archive.Status, _ time.Time) float64 { return float64(s.Lost.Records) }),
	newGauge("archive_free_bytes", "Free room on the archive's disk.", func(s *archive.Status, _ time.Time) float64 { return orNone(float64(s.FreeBytes)) }),
}

var limitGauges = []gauge[archive.Limits]{
	newGauge("archive_backlog_limit_records", "Bound of the backlog in records.", func(l *archive.Limits, _ time.Time) float64 { return float64(l.BacklogRecords) }),
	newGauge("archive_backlog_limit_bytes", "Bound of the backlog in bytes.", func(l *archive.Limits, _ time.Time) float64 { return float64(l.BacklogBytes) }),
	newGauge("archive_free_limit_bytes", "Room below which new records are refused.", func(l *archive.Limits, _ time.Time) float64 { return float64(l.FreeBytes) }),
}

// The states with labels.
var (
	readyDesc    = newDesc("ready", "1 while a record submitted now can be expected to be sealed soon.")
	unreadyDesc  = newDesc("unready", "1 for each reason that stands in the way, as /readyz names it.", "reason")
	inFlightDesc = newDesc("http_requests_in_flight", "Requests that are being answered.")
	waitingDesc  = newDesc("http_requests_waiting", "Requests that wait for a state.")

	connectedDesc   = newDesc("chain_peer_connected", "1 while the member's node is connected.", "member")
	alarmsDesc      = newDesc("chain_alarms", "Alarms since the start, of the newest ones that are kept.", "code")
	memberSizeDesc  = newDesc("seal_member_entries", "Ledger entries under the member's newest seal.", "member")
	memberAgeDesc   = newDesc("seal_member_age_seconds", "Age of the member's newest seal by its own time.", "member")
	memberFreshDesc = newDesc("seal_member_fresh", "1 while the member counts as sealing.", "member")
	clockDesc       = newDesc("chain_clock_offset_seconds", "How much the member's clock is ahead of this node's, in whole seconds.", "member")
	refusingDesc    = newDesc("guard_refusing", "1 for the reason why this member gives no seal.", "reason")

	membersNeededDesc  = newDesc("quorum_members_needed", "Members that a quorum needs.")
	membersSealingDesc = newDesc("quorum_members_sealing", "Members that are sealing.")
	rolesNeededDesc    = newDesc("quorum_neutral_roles_needed", "Different neutral roles that a quorum needs.")
	rolesSealingDesc   = newDesc("quorum_neutral_roles_sealing", "Different neutral roles that are sealing.")
	roleMembersDesc    = newDesc("quorum_role_members", "Members of a role.", "role")
	roleNeededDesc     = newDesc("quorum_role_needed", "Members of a role that the rule names.", "role")
	roleSealingDesc    = newDesc("quorum_role_sealing", "Members of a role that are sealing.", "role")

	auditDesc          = newDesc("audit_ok", "1 while look-ups of neutral members can be written down, and so answered.")
	auditLinesDesc     = newDesc("audit_lines", "Lines of the audit log.")
	archiveAlarmDesc   = newDesc("archive_alarm", "1 while the archive's alarm stands.", "kind")
	unsealedDesc       = newDesc("batch_unsealed", "Own batches on the chain that wait for a quorum, since the start.")
	unsealedRecordDesc = newDesc("batch_unsealed_records", "Records of those.")
)

var labelledDescs = []*prometheus.Desc{readyDesc, unreadyDesc, inFlightDesc, waitingDesc, connectedDesc, alarmsDesc, memberSizeDesc,
	memberAgeDesc, memberFreshDesc, clockDesc, refusingDesc, membersNeededDesc, membersSealingDesc, rolesNeededDesc, rolesSealingDesc,
	roleMembersDesc, roleNeededDesc, roleSealingDesc, auditDesc, auditLinesDesc, archiveAlarmDesc, unsealedDesc, unsealedRecordDesc}

var roles = []checkpoint.Role{checkpoint.Court, checkpoint.Notary, checkpoint.Arbitration, checkpoint.Vendor}

var alarmKinds = []archive.AlarmKind{archive.AlarmTampered, archive.AlarmGap, archive.AlarmFailed, archive.AlarmFull, archive.AlarmClock}

// Describe implements prometheus.Collector.
func (c statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range chainGauges {
		ch <- g.desc
	}
	for _, g := range archiveGauges {
		ch <- g.desc
	}
	for _, g := range limitGauges {
		ch <- g.desc
	}
	for _, d := range slices.Concat(labelledDescs, anchorDescs) {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What does not run yet has no
// numbers, and the node is not ready.
func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	put := emitter{ch}
	now := time.Now()
	if chn := c.m.chain.Load(); chn != nil {
		st := chn.Status()
		put.chain(st, now)
		put.quorum(st.Members, chn.Policy())
	}
	if a := c.m.archive.Load(); a != nil {
		put.archive(a.Status(), c.m.cfg.Limits.archive(), now)
	}
	batches, records := c.m.sealed.unsealed()
	put.one(unsealedDesc, float64(batches))
	put.one(unsealedRecordDesc, float64(records))
	if a := c.m.audit.Load(); a != nil {
		lines, ok := a.state()
		put.one(auditDesc, truth(ok))
		put.one(auditLinesDesc, float64(lines))
	}
	if a := c.m.anchors.Load(); a != nil {
		put.anchors(a, c.m.cfg, now)
	}
	if w := c.m.witness.Load(); w != nil {
		put.witness(w, now)
	}
	put.server(c.m.server.Load())
}

// emitter writes gauges.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) one(d *prometheus.Desc, v float64, labels ...string) {
	if !math.IsNaN(v) {
		e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
}

func (e emitter) server(s *api.Server) {
	if s == nil {
		e.one(readyDesc, 0)
		e.one(unreadyDesc, 1, "starting")
		return
	}
	inFlight, waiting := s.Load()
	e.one(inFlightDesc, float64(inFlight))
	e.one(waitingDesc, float64(waiting))
	reasons := s.Unready()
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	e.one(readyDesc, truth(len(reasons) == 0))
	for _, r := range reasons {
		e.one(unreadyDesc, 1, r)
	}
}

func (e emitter) chain(s chain.Status, now time.Time) {
	for _, g := range chainGauges {
		e.one(g.desc, g.value(&s, now))
	}
	if !s.Guard.OK {
		e.one(refusingDesc, 1, string(s.Guard.Code))
	}
	counts := map[chain.Code]int{}
	for _, code := range chain.AlarmCodes {
		counts[code] = 0
	}
	for _, a := range s.Alarms {
		counts[a.Code]++
	}
	for code, n := range counts {
		e.one(alarmsDesc, float64(n), string(code))
	}
	for _, m := range s.Members {
		if !m.Self {
			e.one(connectedDesc, truth(m.Connected), m.ID)
		}
		e.one(memberSizeDesc, float64(m.SealSize), m.ID)
		e.one(memberAgeDesc, age(now, m.SealTime), m.ID)
		e.one(memberFreshDesc, truth(m.Fresh), m.ID)
		if m.ClockKnown {
			e.one(clockDesc, m.ClockOffset.Seconds(), m.ID)
		}
	}
}

// quorum holds the members that are sealing against the rule of the newest
// epoch.
func (e emitter) quorum(members []chain.MemberStatus, p *checkpoint.Policy) {
	rule := p.Epochs[len(p.Epochs)-1].Quorum
	all, sealing, needed := map[checkpoint.Role]int{}, map[checkpoint.Role]int{}, map[checkpoint.Role]int{}
	total, neutral := 0, 0
	for _, m := range members {
		all[m.Role]++
		if m.Fresh {
			total++
			if sealing[m.Role]++; sealing[m.Role] == 1 && m.Role.Neutral() {
				neutral++
			}
		}
	}
	for _, r := range rule.Require {
		needed[r.Role] = r.Count
	}
	e.one(membersNeededDesc, float64(rule.Members))
	e.one(membersSealingDesc, float64(total))
	e.one(rolesNeededDesc, float64(rule.NeutralRoles))
	e.one(rolesSealingDesc, float64(neutral))
	for _, r := range roles {
		e.one(roleMembersDesc, float64(all[r]), string(r))
		e.one(roleNeededDesc, float64(needed[r]), string(r))
		e.one(roleSealingDesc, float64(sealing[r]), string(r))
	}
}

func (e emitter) archive(s archive.Status, l archive.Limits, now time.Time) {
	for _, g := range archiveGauges {
		e.one(g.desc, g.value(&s, now))
	}
	for _, g := range limitGauges {
		e.one(g.desc, g.value(&l, now))
	}
	for _, kind := range alarmKinds {
		raised := slices.ContainsFunc(s.Alarms, func(a archive.Alarm) bool { return a.Kind == kind })
		e.one(archiveAlarmDesc, truth(raised), string(kind))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// age is the time since t in seconds, NaN where t is none. A time that a clock
// ahead of this one gave has age 0.
func age(now, t time.Time) float64 {
	if t.IsZero() {
		return math.NaN()
	}
	return max(now.Sub(t).Seconds(), 0)
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// orNone is v, or NaN for the 0 of a number that is not known.
func orNone(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}
