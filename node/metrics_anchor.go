package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qifeng/anchor"
	"qifeng/anchor/witness"
)

// anchorMetrics count what happens to the anchors. Their names are the
// configuration's, so the list is closed.
type anchorMetrics struct {
	attempts *prometheus.CounterVec   // anchor, kind, result
	took     *prometheus.HistogramVec // anchor, kind
}

func newAnchorMetrics(f factory) anchorMetrics {
	return anchorMetrics{
		attempts: f.counters("anchor_attempts_total", "Attempts to have a checkpoint witnessed.", "anchor", "kind", "result"),
		took:     f.histograms("anchor_attempt_duration_seconds", "Time of an attempt that ended in a stored receipt.", request, "anchor", "kind"),
	}
}

// anchored counts one event of an anchor.
func (m *metrics) anchored(e anchor.Event) {
	m.outside.attempts.WithLabelValues(e.Name, string(e.Kind), string(e.What)).Inc()
	if e.What == anchor.Succeeded {
		m.outside.took.WithLabelValues(e.Name, string(e.Kind)).Observe(e.Took.Seconds())
	}
}

var (
	anchorEntriesDesc = newDesc("anchor_entries", "Ledger entries under the newest checkpoint that the witness holds.", "anchor", "kind")
	anchorAgeDesc     = newDesc("anchor_age_seconds", "Time since the newest receipt was stored.", "anchor", "kind")
	anchorAlarmDesc   = newDesc("anchor_alarm", "1 while the witness is known to hold another state of the ledger and nobody has looked.", "anchor", "kind")
	anchorFailingDesc = newDesc("anchor_failing", "1 while the last attempt failed, or hangs.", "anchor", "kind")
	anchorEveryDesc   = newDesc("anchor_every_seconds", "Time between attempts, as configured.", "anchor", "kind")
)

var (
	witnessEntriesDesc = newDesc("witness_entries", "Ledger entries of another log that this node has cosigned last.", "log")
	witnessAgeDesc     = newDesc("witness_age_seconds", "Time since this node cosigned that log last.", "log")
	witnessForkDesc    = newDesc("witness_fork", "1 while a proof lies here that the log has signed two roots of one size.", "log")
	witnessBrokenDesc  = newDesc("witness_broken", "1 while this witness cosigns nothing until it is started again.")
)

var anchorDescs = []*prometheus.Desc{
	anchorEntriesDesc, anchorAgeDesc, anchorAlarmDesc, anchorFailingDesc, anchorEveryDesc,
	witnessEntriesDesc, witnessAgeDesc, witnessForkDesc, witnessBrokenDesc,
}

// anchors writes the state of each anchor that is configured.
func (e emitter) anchors(a *anchors, cfg *Config, now time.Time) {
	for _, st := range a.service.Status() {
		if st.Retired || st.Kind == "" {
			continue
		}
		kind := string(st.Kind)
		e.one(anchorEntriesDesc, float64(st.Size), st.Name, kind)
		e.one(anchorAgeDesc, age(now, st.StoredAt), st.Name, kind)
		e.one(anchorAlarmDesc, truth(st.Alarm != nil), st.Name, kind)
		c := cfg.Anchor[st.Name]
		e.one(anchorEveryDesc, c.every().Seconds(), st.Name, kind)
		e.one(anchorFailingDesc, truth(st.LastError != "" || st.Hanging), st.Name, kind)
	}
}

// witness writes what this node knows as a witness of others. The logs are the
// configuration's.
func (e emitter) witness(s *witness.Server, now time.Time) {
	e.one(witnessBrokenDesc, truth(s.Err() != nil))
	for _, st := range s.Status() {
		e.one(witnessEntriesDesc, float64(st.Size), st.Origin)
		e.one(witnessAgeDesc, age(now, st.Time), st.Origin)
		e.one(witnessForkDesc, truth(st.Forked), st.Origin)
	}
}
