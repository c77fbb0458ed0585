package bench

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Machine is where a run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int    `json:"memory_mib"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// ThisMachine reads what the system tells; what it does not stays empty.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory = int(mib(text, "MemTotal:"))
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

// Commit is the revision that the program was built from, "" where the build
// does not say.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision[:min(12, len(revision))] + dirty
}

// Head says of every raw result where, when and how it came about.
type Head struct {
	What    string    `json:"what"`
	Command []string  `json:"command"`
	Commit  string    `json:"commit"`
	Began   time.Time `json:"began"`
	Machine Machine   `json:"machine"`
}

// NewHead is the head of a result of this very run of the program.
func NewHead(what, commit string) Head {
	if commit == "" {
		commit = Commit()
	}
	return Head{What: what, Command: os.Args, Commit: commit, Began: time.Now().UTC().Truncate(time.Millisecond), Machine: ThisMachine()}
}

// Result is what one load gave.
type Result struct {
	Head
	Records     int     `json:"records_per_request"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"offered_records_per_s,omitempty"` // open loop only
	RecordBytes float64 `json:"submission_bytes"`                // mean of one record as sent

	// The measured window: what was acknowledged in it.
	Window          float64  `json:"window_s"`
	RecordsPerS     float64  `json:"records_per_s"`
	RequestsPerS    float64  `json:"requests_per_s"`
	AcceptedLatency *Latency `json:"accepted,omitempty"` // intended send to receipt
	SealedLatency   *Latency `json:"sealed,omitempty"`   // intended send to the proof in hand, of the samples

	// The whole run, warm-up included.
	Accepted   Count            `json:"accepted_in_all"`
	Refused    map[string]int64 `json:"refused"` // 429 and 503, by status
	NoWait     int64            `json:"refused_without_retry_after"`
	Failed     map[string]int64 `json:"failed"`        // every other answer, and what broke
	Unsent     int64            `json:"unsent"`        // open loop: came due and could not be sent
	Samples    int64            `json:"samples"`       // records whose receipt and proof were asked for
	Skipped    int64            `json:"skipped"`       // samples left out because too many were waiting
	Unverified int64            `json:"unverified"`    // receipts and proofs that did not verify
	Unsealed   int64            `json:"unsealed"`      // samples that had no proof in time
	Drained    float64          `json:"all_sealed_ms"` // from the last receipt until all was sealed
	Notes      []string         `json:"notes,omitempty"`

	Node      *Process           `json:"node,omitempty"`
	Others    []Process          `json:"others,omitempty"`
	Generator Process            `json:"generator"`
	Chain     map[string]float64 `json:"chain_bytes_per_record,omitempty"` // by folder, and "all"
	Lookups   *Lookups           `json:"lookups,omitempty"`
}

// Count is a number of requests with the records in them.
type Count struct {
	Requests int64 `json:"requests"`
	Records  int64 `json:"records"`
}

// Lookups are reads of stored records, one after the other, over HTTP with a
// signed request each.
type Lookups struct {
	Record *Latency `json:"record,omitempty"`
	Proof  *Latency `json:"proof,omitempty"`
	Digest *Latency `json:"digest,omitempty"`
}

// OK says whether everything that was acknowledged kept its promise.
func (r *Result) OK() bool {
	return r.Accepted.Requests > 0 && r.Unverified == 0 && r.Unsealed == 0 && len(r.Failed) == 0
}
