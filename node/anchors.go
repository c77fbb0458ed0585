package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/tsa"
	"qifeng/anchor/witness"
	"qifeng/api/wire"
	"qifeng/evidence/canon"
	"qifeng/genesis"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/timestamp"
)

// Names of the anchors in the data folder.
const (
	anchorsDir = "anchor"        // the store of receipts
	resumeDir  = "anchor-resume" // what qifeng anchor resume asks the node for: a file per name
)

// anchors are the outside witnesses of a running node (api.Anchors). They work
// beside everything else: nothing waits for them.
type anchors struct {
	service *anchor.Service
	roots   *anchorFiles
	log     *slog.Logger
	resume  string // folder

	cancel context.CancelFunc // nil before run
	wg     sync.WaitGroup

	head    atomic.Uint64        // the largest anchored size
	mu      sync.Mutex           // guards what follows
	changed chan struct{}        // closed at the next receipt
	told    map[string]time.Time // when a fault was logged, by what it is of; a handful
}

// due says whether a fault that lasts, and that is met with again and again, is to
// be logged now.
func (a *anchors) due(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.told[what]; ok && time.Since(at) < tellAgain {
		return false
	}
	if a.told == nil {
		a.told = make(map[string]time.Time)
	}
	a.told[what] = time.Now()
	return true
}

// openAnchors opens the store and makes the drivers, which reach nobody yet; nil
// where the home has neither anchors nor receipts of earlier ones. Nothing runs.
func openAnchors(h home, cfg *Config, policy *checkpoint.Policy, source anchor.Source, log *slog.Logger, observe func(anchor.Event)) (*anchors, error) {
	files, err := loadAnchorFiles(h, cfg, policy.Chain)
	if files == nil || err != nil {
		return nil, err
	}
	a := &anchors{roots: files, log: log, resume: h.path(filepath.Join(cfg.Data.Dir, resumeDir)), changed: make(chan struct{})}
	named, err := anchorDrivers(h, cfg, files.roots, policy, log)
	if err != nil {
		return nil, err
	}
	dir := h.path(filepath.Join(cfg.Data.Dir, anchorsDir))
	a.service, err = anchor.Open(anchor.Config{Dir: dir, Policy: policy, Roots: files.roots, Source: source, Anchors: named, Logger: log,
		Observe: func(e anchor.Event) { a.observe(e); observe(e) }})
	if err != nil {
		for _, n := range named {
			err = errors.Join(err, n.Anchor.Close())
		}
		return nil, err
	}
	for _, st := range a.service.Status() {
		if rootsKnow(files.roots, st.Kind, st.Name) { // or no proof can show it
			a.head.Store(max(a.head.Load(), st.Size))
		}
	}
	log.Info("anchors opened", "anchors", len(named), "anchored", a.head.Load(), "roots_sm3", fmt.Sprintf("%x", files.fingerprint().SM3))
	return a, nil
}

// anchorDrivers makes all drivers of a configuration, or none.
func anchorDrivers(h home, cfg *Config, roots *proof.AnchorRoots, policy *checkpoint.Policy, log *slog.Logger) (out []anchor.Named, err error) {
	for _, name := range cfg.anchorNames() {
		c := cfg.Anchor[name]
		d, err := anchorDriver(h, name, &c, roots, policy, log)
		if err != nil {
			for _, n := range out {
				err = errors.Join(err, n.Anchor.Close())
			}
			return nil, fmt.Errorf("[anchor.%s] %w", name, err)
		}
		out = append(out, anchor.Named{Name: name, Every: c.every(), Timeout: c.timeout(), Anchor: d})
	}
	return out, nil
}

// anchorDriver makes the driver of one anchor. What it needs is on this disk; the
// service may be away.
func anchorDriver(h home, name string, c *AnchorConfig, roots *proof.AnchorRoots, policy *checkpoint.Policy, log *slog.Logger) (anchor.Anchor, error) {
	ca, err := optionalFile(h, c.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	switch proof.AnchorKind(c.Kind) {
	case proof.AnchorRFC3161:
		password := c.PasswordFile
		if password != "" {
			password = h.path(password)
		}
		return tsa.New(tsa.Config{URL: c.URL, Hash: c.hash(), CA: ca, User: c.User, PasswordFile: password,
			Authority: authorityOf(roots, name), Logger: log.With("anchor", name)})
	case proof.AnchorWitness:
		w, err := checkpoint.ParseWitness(c.Key)
		if err != nil {
			return nil, err
		}
		return witness.New(witness.Config{URL: c.URL, Witness: w, Policy: policy, CA: ca})
	case proof.AnchorFabric:
		return fabricDriver(h, name, c, roots, policy, log)
	}
	return nil, fmt.Errorf("kind: %q is unknown", c.Kind)
}

// optionalFile reads a small file of the home, nil without a name.
func optionalFile(h home, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	return readSmall(h.path(name), maxSmallFile)
}

// authorityOf is the authority of a name; loadAnchorFiles has found it.
func authorityOf(roots *proof.AnchorRoots, name string) timestamp.Authority {
	for _, t := range roots.Timestamps {
		if t.Name == name {
			return t
		}
	}
	return timestamp.Authority{Name: name}
}

// observe takes a stored receipt up and wakes who waits for it.
func (a *anchors) observe(e anchor.Event) {
	if e.What != anchor.Succeeded {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.head.Store(max(a.head.Load(), e.Size))
	close(a.changed)
	a.changed = make(chan struct{})
}

// run begins to anchor; close ends it.
func (a *anchors) run() {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.wg.Go(func() { a.service.Run(ctx) })
	a.wg.Go(func() { a.watchResumes(ctx) })
}

// stop tells all workers to end, and does not wait for them. It may be called more
// than once.
func (a *anchors) stop() {
	if a != nil && a.cancel != nil {
		a.cancel()
	}
}

// close ends the workers and closes the store.
func (a *anchors) close() error {
	if a == nil {
		return nil
	}
	a.stop()
	a.wg.Wait()
	return a.service.Close()
}

// watchResumes looks for what qifeng anchor resume asks for. It goes by files: who
// may write into the home may resume, nobody else, and a node that is down finds
// the request at its next start.
func (a *anchors) watchResumes(ctx context.Context) {
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	for {
		a.takeResumes()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// takeResumes does what is asked for. Order: the alarm is ended durably, then the
// request is removed; a crash between leaves a request that finds no alarm.
func (a *anchors) takeResumes() {
	entries, err := os.ReadDir(a.resume)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && a.due("requests") {
			a.log.Warn("requests to resume an anchor cannot be read", "error", err)
		}
		return
	}
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() || proof.CheckAnchorName(name) != nil {
			continue
		}
		if err := a.service.Resume(name); err != nil && !errors.Is(err, anchor.ErrNoAlarm) {
			if a.due("resume " + name) {
				a.log.Error("an anchor could not be resumed; it is tried again", "anchor", name, "error", err)
			}
			continue
		}
		if err := os.Remove(filepath.Join(a.resume, name)); err != nil && a.due("remove") {
			a.log.Warn("a request to resume an anchor could not be removed", "anchor", name, "error", err)
		}
	}
}

// Head implements api.Anchors.
func (a *anchors) Head() uint64 { return a.head.Load() }

// Changed implements api.Anchors.
func (a *anchors) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Covering implements api.Anchors. A receipt that is damaged is told of here, and
// the others are given.
func (a *anchors) Covering(size uint64) ([]proof.Anchor, error) {
	list, err := a.service.Covering(size)
	if err != nil && a.due("covering") {
		a.log.Error("TAMPERED: receipts of anchors are damaged and are left out", "size", size, "error", err)
	}
	out := make([]proof.Anchor, len(list))
	for i, r := range list {
		out[i] = proof.Anchor{Kind: r.Kind, Name: r.Name, Checkpoint: r.Note, Receipt: r.Data}
	}
	return out, nil
}

// Status implements api.Anchors.
func (a *anchors) Status() []wire.AnchorStatus {
	list := a.service.Status()
	out := make([]wire.AnchorStatus, 0, len(list))
	for _, st := range list {
		if st.Kind == "" {
			continue // a name of which nothing could be read
		}
		w := wire.AnchorStatus{Name: st.Name, Kind: string(st.Kind), Size: st.Size, StoredAt: wireTime(st.StoredAt), Stated: wireTime(st.Time),
			Pending: st.Pending, Attempts: st.Attempts, Error: oneLine(st.LastError), NextTry: wireTime(st.NextTry),
			Hanging: st.Hanging, Retired: st.Retired}
		if st.Alarm != nil {
			w.Alarm = wireTime(st.Alarm.At) + " " + oneLine(st.Alarm.Text)
		}
		out = append(out, w)
	}
	return out
}

func wireTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(canon.TimeLayout)
}

// oneLine bounds words that came from afar, and takes what is not for a line out.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxAnchorText {
		text = strings.ToValidUTF8(text[:maxAnchorText], "") + "…"
	}
	return text
}

// openWitness opens what this node is to other logs, by [witness].
func openWitness(h home, cfg *Config, cons *genesis.Consortium, policy *checkpoint.Policy, log *slog.Logger) (*witness.Server, error) {
	key, err := witnessKey(h, cfg, cons)
	if err != nil {
		return nil, err
	}
	text, err := readSmall(h.path(cfg.Witness.Logs), maxSmallFile)
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	logs, err := witness.ParseLogs(text)
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	return witness.NewServer(witness.ServerConfig{Name: key.Name, Key: key, Logs: logs, Policy: policy,
		State: witnessState(h.path(cfg.Witness.Key)), Logger: log})
}
