package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
)

// getHealth says that the process answers; nothing else.
func (s *Server) getHealth(c *gin.Context) error {
	return raw(c, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// getReady says whether a record that is submitted now can be expected to be
// sealed soon, and if not, everything that stands in the way.
func (s *Server) getReady(c *gin.Context) error {
	v := s.view()
	status := http.StatusOK
	if len(v.reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	return render(c, status, wire.Ready{Ready: len(v.reasons) == 0, Reasons: v.reasons})
}

// getStatus says all that the node knows of itself, the chain and the members.
func (s *Server) getStatus(c *gin.Context) error {
	v := s.view()
	p := s.cfg.Chain.Policy()
	return render(c, http.StatusOK, wire.Status{
		Chain: p.Chain, Node: s.cfg.Node, Version: s.cfg.Version, Time: timeText(s.now()),
		Ready: len(v.reasons) == 0, Reasons: v.reasons,
		Ledger:  ledgerStatus(&v.chain, &p.Epochs[len(p.Epochs)-1]),
		Intake:  intakeStatus(&v.archive),
		Members: memberStatus(v.chain.Members), Anchors: s.cfg.Anchors.Status(),
	})
}

// view is one look at chain and archive.
type view struct {
	chain   chain.Status
	archive archive.Status
	reasons []wire.Reason // why the node is not ready, empty if it is
}

// The anchors are no part of readiness, an alarm of theirs neither: a node whose
// witness is away, or contradicts it, takes in, proves and seals as before, and a
// balancer that took it out of service for that would stop evidence from being
// kept on account of an outside party. The alarm is in the status, the metrics and
// the log, where a person sees it.
func (s *Server) view() view {
	v := view{chain: s.cfg.Chain.Status(), archive: s.cfg.Archive.Status(), reasons: []wire.Reason{}}
	add := func(code, detail string) { v.reasons = append(v.reasons, wire.Reason{Code: code, Detail: detail}) }
	if s.drained() {
		add("stopping", "the node was told to stop")
	}
	if v.chain.CatchingUp {
		add("catching-up", fmt.Sprintf("the node is at height %d and follows the others", v.chain.Height))
	}
	if !v.chain.Quorum.Met {
		add("quorum", "no seal quorum now: "+v.chain.Quorum.Missing)
	}
	if g := v.chain.Guard; g.Alarm {
		add("guard", g.Text)
	}
	if !v.archive.Accepting {
		add("archive", v.archive.Reason)
	}
	for _, a := range v.archive.Alarms {
		// A gap is for a person to look at; the node works on beside it.
		if a.Kind != archive.AlarmGap {
			add("archive-"+string(a.Kind), a.Text)
		}
	}
	return v
}

func ledgerStatus(st *chain.Status, e *checkpoint.Epoch) wire.LedgerStatus {
	out := wire.LedgerStatus{
		Height: st.Height, Size: st.Size, CatchingUp: st.CatchingUp, Pool: st.Mempool,
		LastBlock: timeText(st.LastBlockTime), LastCommit: timeText(st.LastCommit),
		SealedSize: st.Sealed.Size, SealedTime: timeText(st.Sealed.Time),
		Quorum: quorumText(e), QuorumMet: st.Quorum.Met,
		Missing: st.Quorum.Missing, MissedSince: timeText(st.Quorum.Since),
		GuardOK: st.Guard.OK, GuardCode: string(st.Guard.Code), Guard: st.Guard.Text,
	}
	for _, a := range st.Alarms {
		out.Alarms = append(out.Alarms, timeText(a.Time)+" "+string(a.Code)+": "+a.Text)
	}
	return out
}

func memberStatus(members []chain.MemberStatus) []wire.MemberStatus {
	out := make([]wire.MemberStatus, len(members))
	for i, m := range members {
		out[i] = wire.MemberStatus{
			ID: m.ID, Role: string(m.Role), Self: m.Self, Connected: m.Connected,
			SealSize: m.SealSize, SealTime: timeText(m.SealTime), Fresh: m.Fresh,
		}
		if m.ClockKnown {
			seconds := int64(m.ClockOffset / time.Second)
			out[i].ClockOffset = &seconds
		}
	}
	return out
}

// timeText writes a time as all our formats do, and nothing for none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(canon.TimeLayout)
}

// quorumText says the rule in short.
func quorumText(e *checkpoint.Epoch) string {
	s := fmt.Sprintf("%d of %d members, %d neutral roles", e.Quorum.Members, len(e.Members), e.Quorum.NeutralRoles)
	for _, r := range e.Quorum.Require {
		s += fmt.Sprintf(", %d of role %s", r.Count, r.Role)
	}
	return s
}

func intakeStatus(a *archive.Status) wire.IntakeStatus {
	out := wire.IntakeStatus{
		Accepting: a.Accepting, Reason: a.Reason,
		OpenSeq: a.Open.Seq, Open: a.Open.Records,
		Batches: a.Queued.Batches, Queued: a.Queued.Records,
		InFlight: a.InFlight.Seq, SendError: a.InFlight.Error,
		Committed: a.Committed, Pending: a.Pending, FreeBytes: a.FreeBytes,
	}
	for _, alarm := range a.Alarms {
		out.Alarms = append(out.Alarms, string(alarm.Kind)+": "+alarm.Text)
	}
	if l := &a.Lost; l.Batches > 0 {
		out.Lost = &wire.Lost{Detail: l.String(), Batches: l.Batches, First: l.First, Last: l.Last, Records: l.Records, Newest: []wire.LostBatch{}}
		for _, b := range l.Newest {
			streams := map[string]uint64{}
			for i, n := range b.Counts {
				streams[string(evidence.Streams[i])] = n
			}
			out.Lost.Newest = append(out.Lost.Newest, wire.LostBatch{Seq: b.Seq, Index: b.Index, Streams: streams})
		}
	}
	return out
}
