package chain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"qifeng/proof/checkpoint"
)

// Status is what an operator, /readyz and `qifeng status` need to know.
type Status struct {
	ChainID       string
	Self          string
	Height        int64
	Size          uint64    // ledger entries
	LastBlockTime time.Time // header time: the votes of the block before
	LastCommit    time.Time // this node's clock when it last saw the chain alive
	CatchingUp    bool      // starting, or fetching blocks: it takes no transaction and gives no seal
	Mempool       int       // transactions waiting

	Members []MemberStatus // all members, by id
	Sealed  SealedStatus   // newest sealed size
	Quorum  QuorumStatus
	Guard   GuardStatus
	Stall   StallStatus
	Alarms  []Alarm // newest last, since the process started
}

// MemberStatus is what this node knows of one member.
type MemberStatus struct {
	ID        string
	Role      checkpoint.Role
	NodeID    string
	Self      bool
	Connected bool // true of oneself

	SealSize uint64    // of its newest seal, 0 before the first
	SealTime time.Time // of its newest seal
	Fresh    bool      // the newest seal is recent: the member is sealing
	Missing  bool      // its seal on the newest size is not here

	// ClockKnown says that ClockOffset is estimated: by how much the member's
	// clock is ahead of this node's, in whole seconds, good to about one. See
	// [clock]. It is known, and 0, of oneself.
	ClockKnown  bool
	ClockOffset time.Duration
}

// SealedStatus is the newest size that met the quorum, and its sealed time.
type SealedStatus struct {
	Size uint64
	Time time.Time
}

// QuorumStatus says whether enough members are sealing now.
type QuorumStatus struct {
	Met     bool
	Missing string    // what is missing and who, "" if Met
	Since   time.Time // when the quorum was last met, if it is not now; zero if never
}

// GuardStatus says whether this member gives seals.
type GuardStatus struct {
	OK    bool
	Size  uint64 // the newest size that its keys sealed
	Code  Code   // why it gives none, "" if it does
	Text  string // why it gives none
	Alarm bool   // a person must look
}

// StallStatus is how long there has been no block though a quorum of members is
// connected and works on the next one. At the limit consensus is taken for dead
// and the process ends.
type StallStatus struct {
	For, Limit time.Duration
}

// Alarm is something that a person must look at: two seals or two headers that
// contradict each other, a double vote, a guard made again.
type Alarm struct {
	Time time.Time
	Code Code
	Text string
}

func (ch *Chain) alarm(code Code, text string, args ...any) {
	ch.log.Error("ALARM: "+text, append([]any{"code", code}, args...)...)
	var b strings.Builder
	b.WriteString(text)
	for i := 0; i+1 < len(args); i += 2 {
		fmt.Fprintf(&b, " %v=%.*s", args[i], maxAlarmValue, fmt.Sprint(args[i+1]))
	}
	ch.alarmMu.Lock()
	defer ch.alarmMu.Unlock()
	ch.alarms = append(ch.alarms, Alarm{Time: ch.cfg.Now(), Code: code, Text: b.String()})
	if len(ch.alarms) > maxAlarms {
		ch.alarms = ch.alarms[len(ch.alarms)-maxAlarms:]
	}
}

// Status reports on the chain as this node sees it.
func (ch *Chain) Status() Status {
	st, now := ch.app.state(), ch.cfg.Now()
	out := Status{ChainID: ch.c.chainID, Self: ch.cfg.Self, Height: st.height, Size: st.size,
		LastBlockTime: st.blockTime, CatchingUp: ch.syncing(), Mempool: ch.comet.node.Mempool().Size()}
	out.LastCommit, out.Guard = ch.sealer.report()
	out.Stall = StallStatus{For: time.Duration(ch.stalled.Load()), Limit: ch.stallLimit()}
	out.Members = ch.memberStatus(st.size, now)
	out.Quorum = ch.quorumStatus(out.Members, now)
	if cp := ch.sealedHead.Load(); cp != nil {
		out.Sealed.Size = cp.Size
		if seals, err := ch.book.firsts(cp.Size); err == nil {
			out.Sealed.Time = time.Unix(ch.c.judge(cp.Size, seals).SealedTime, 0).UTC()
		}
	}
	ch.alarmMu.Lock()
	out.Alarms = slices.Clone(ch.alarms)
	ch.alarmMu.Unlock()
	return out
}

func (ch *Chain) memberStatus(size uint64, now time.Time) []MemberStatus {
	peers, newest := ch.comet.node.Switch().Peers(), ch.book.newestSeals()
	sealed := map[string]bool{}
	if seals, err := ch.book.firsts(size); err == nil {
		for _, s := range seals {
			sealed[s.Member] = true
		}
	}
	var out []MemberStatus
	for _, id := range ch.c.ids {
		m := MemberStatus{ID: id, NodeID: ch.c.members[id].nodeID, Self: id == ch.cfg.Self, Missing: !sealed[id]}
		m.Connected = m.Self || peers.Has(p2p.ID(m.NodeID))
		m.ClockOffset, m.ClockKnown = ch.sealer.offset(id)
		if card, ok := ch.c.sealer(id, size); ok {
			m.Role = card.Role
		}
		if w, ok := newest[id]; ok {
			m.SealSize, m.SealTime = w.size, time.Unix(w.seal.Time, 0).UTC()
			m.Fresh = now.Sub(m.SealTime) <= ch.freshFor()
		}
		out = append(out, m)
	}
	return out
}

// freshFor is how old a seal may be while its member counts as sealing: some
// rounds of resealing, and a second because seals are dated in whole seconds.
func (ch *Chain) freshFor() time.Duration { return freshRounds*ch.cfg.Reseal + time.Second }

// quorumStatus judges by fresh seals, whatever size they are on: it tells
// whether sealing goes on, not whether some size is sealed.
func (ch *Chain) quorumStatus(members []MemberStatus, now time.Time) QuorumStatus {
	size := ch.app.state().size
	var fresh []checkpoint.Seal
	var all []checkpoint.Seal
	var absent []string
	for _, m := range members {
		s := checkpoint.Seal{Member: m.ID, Time: max(m.SealTime.Unix(), 1)}
		if m.SealSize > 0 {
			all = append(all, s)
		}
		if m.Fresh {
			fresh = append(fresh, s)
			continue
		}
		absent = append(absent, absence(m))
	}
	v := ch.c.judge(size, fresh)
	if v.Met {
		return QuorumStatus{Met: true}
	}
	text := ch.shortfall(size, v)
	if len(absent) > 0 {
		text += "; not sealing: " + strings.Join(absent, ", ")
	}
	return QuorumStatus{Missing: text, Since: ch.lastMet(size, all)}
}

// shortfall says by how much the members that are sealing miss the quorum.
func (ch *Chain) shortfall(size uint64, v checkpoint.Verdict) string {
	e, err := ch.c.policy.EpochOf(size)
	if err != nil {
		return err.Error()
	}
	var parts []string
	if v.Members < e.Quorum.Members {
		parts = append(parts, fmt.Sprintf("%d of %d members are sealing, %d are needed", v.Members, len(e.Members), e.Quorum.Members))
	}
	if v.NeutralRoles < e.Quorum.NeutralRoles {
		parts = append(parts, fmt.Sprintf("%d different neutral roles are sealing, %d are needed", v.NeutralRoles, e.Quorum.NeutralRoles))
	}
	if len(parts) == 0 {
		return v.Missing // a role that the rule names
	}
	return strings.Join(parts, "; ")
}

func absence(m MemberStatus) string {
	where := "connected"
	if !m.Connected {
		where = "not connected"
	}
	if m.ClockKnown && m.ClockOffset.Abs() >= clockApart {
		where += fmt.Sprintf(", its clock is %s off ours", m.ClockOffset)
	}
	if m.SealSize == 0 {
		return fmt.Sprintf("%s (%s, no seal yet)", m.ID, where)
	}
	return fmt.Sprintf("%s (%s, last seal %s)", m.ID, where, m.SealTime.Format(time.RFC3339))
}

// lastMet is the largest t such that the newest seals dated t or later meet the
// quorum: as long ago is the last moment at which enough members sealed.
func (ch *Chain) lastMet(size uint64, seals []checkpoint.Seal) time.Time {
	slices.SortFunc(seals, func(a, b checkpoint.Seal) int { return cmp.Compare(b.Time, a.Time) })
	for i := range seals {
		if ch.c.judge(size, seals[:i+1]).Met {
			return time.Unix(seals[i].Time, 0).UTC()
		}
	}
	return time.Time{}
}

// report is the sealer's part of Status.
func (s *sealer) report() (lastCommit time.Time, g GuardStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g = GuardStatus{OK: s.refused == nil, Size: s.guarded}
	if s.refused != nil {
		g.Code, g.Text, g.Alarm = s.refused.code, s.refused.text, s.refused.alarm
	}
	return s.lastCommit, g
}
