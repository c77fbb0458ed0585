package bench

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is what a process was seen to use, from /proc. Memory is in MiB.
type Process struct {
	PID int `json:"pid"`
	// PeakRSS is the largest resident set that was seen during the run, files that
	// are mapped into memory included, PeakAnonymous without them; HighWater is the
	// kernel's own mark since the process began.
	PeakRSS       float64 `json:"peak_rss_mib"`
	PeakAnonymous float64 `json:"peak_anonymous_mib"`
	HighWater     float64 `json:"high_water_mib"`
	// Series is the resident set every second of the run.
	Series []float64 `json:"rss_mib_each_second,omitempty"`
	// CPU is the processor time of the measured window.
	CPU float64 `json:"cpu_s"`
}

// watcher looks at processes.
type watcher struct {
	mu     sync.Mutex // guards seen
	seen   []Process
	before []float64
	stop   context.CancelFunc
	done   chan struct{}
}

// watch begins to look at processes; one that cannot be looked at is an error.
func watch(ctx context.Context, pids []int) (*watcher, error) {
	w := &watcher{done: make(chan struct{}), before: make([]float64, len(pids))}
	for _, pid := range pids {
		w.seen = append(w.seen, Process{PID: pid})
	}
	if err := w.look(true); err != nil {
		return nil, err
	}
	ctx, w.stop = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = w.look(n%int(time.Second/watchEvery) == 0) // one that has ended shows in the figures of the load
			}
		}
	}()
	return w, nil
}

func (w *watcher) look(keep bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.seen {
		p := &w.seen[i]
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err != nil {
			return fmt.Errorf("looking at process %d: %w", p.PID, err)
		}
		rss := mib(text, "VmRSS:")
		p.PeakRSS = max(p.PeakRSS, rss)
		p.PeakAnonymous = max(p.PeakAnonymous, mib(text, "RssAnon:"))
		p.HighWater = max(p.HighWater, mib(text, "VmHWM:"))
		if keep {
			p.Series = append(p.Series, rss)
		}
	}
	return nil
}

// mib reads a line of /proc/PID/status, in kB there.
func mib(text []byte, name string) float64 {
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == name {
			kb, _ := strconv.ParseFloat(f[1], 64) // 0 is what an unreadable line says
			return kb / 1024
		}
	}
	return 0
}

// begin and end frame the window that processor time is measured in.
func (w *watcher) begin() {
	for i := range w.seen {
		w.before[i] = cpuSeconds(w.seen[i].PID)
	}
}

func (w *watcher) end() {
	for i := range w.seen {
		after := cpuSeconds(w.seen[i].PID)
		w.mu.Lock()
		w.seen[i].CPU = after - w.before[i]
		w.mu.Unlock()
	}
}

// finish stops looking and gives what was seen.
func (w *watcher) finish() []Process {
	_ = w.look(true)
	w.stop()
	<-w.done
	return w.seen
}

// cpuSeconds is the processor time of a process since it began, 0 where the
// system does not tell. Linux counts it in hundredths for everybody.
func cpuSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name may hold spaces
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// folderBytes is the size of the files below each folder directly in dir.
func folderBytes(dir string) (map[string]int64, error) {
	out := map[string]int64{}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("measuring %s: %w", dir, err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		out[first] += info.Size()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return out, nil
}

// ignoreGone forgives a file that its owner has deleted meanwhile.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
