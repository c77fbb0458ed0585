package drills

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qifeng/bench"
	"qifeng/test/testnet"
	"qifeng/test/tsa"
)

// What one turn of the measurement has.
const (
	without = "without" // no anchors
	with    = "with"    // all three, each every 2 s
	hanging = "hanging" // all three take calls and never answer
)

// goal is the share of a node's intake rate that anchors may cost.
const goal = 0.03

// TestAnchorsCost measures what anchors cost a node that takes in as much as it
// can: short turns without anchors, with all three, and with three that hang, in
// changing order, so that what else the machine does falls on all alike. Rates are
// noisier than the goal, so they decide by a wide bound, as medians of the ratios
// within each round; what anchoring itself takes is measured before. The Fabric
// network, the authority and the witness run on the same processors.
func TestAnchorsCost(t *testing.T) {
	asked(t)
	turn := duration(t, "QIFENG_DRILL_TURN", 5*time.Second)
	const rounds = 8
	o := newOutside(newNetwork(t, plain), 2*time.Second)
	o.give(vendor, o.fabric.Org1(), "gateway")
	for _, name := range anchorNames {
		o.covers(time.Minute, 1, name, vendor)
	}
	o.ownCost(turn)

	results, fabric := map[string][]bench.Result{}, map[string][]float64{}
	for round := range rounds {
		order := []string{without, with, hanging}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, arm := range order {
			cpuBefore, at := o.fabricCPU(), time.Now()
			r := o.turn(arm, turn, "--connections", "24", "--records", "100")
			results[arm] = append(results[arm], r)
			fabric[arm] = append(fabric[arm], (o.fabricCPU()-cpuBefore)/time.Since(at).Seconds())
			t.Logf("round %d, %-8s %8.0f records/s, %5.1f µs of the node for a record, accepted p50 %6.1f ms, sealed p50 %6.1f p99 %6.1f max %6.1f ms",
				round+1, arm, r.RecordsPerS, cpu(r)*1e6, r.AcceptedLatency.P50, r.SealedLatency.P50, r.SealedLatency.P99, r.SealedLatency.Max)
		}
	}
	value := func(f func(bench.Result) float64, arm string) float64 {
		var list []float64
		for _, r := range results[arm] {
			list = append(list, f(r))
		}
		return median(list)
	}
	ratio := func(f func(bench.Result) float64, arm string) (middle, low, high float64) {
		var list []float64
		for i, r := range results[arm] {
			list = append(list, f(r)/f(results[without][i]))
		}
		return median(list), slices.Min(list), slices.Max(list)
	}
	for _, m := range []struct {
		name string
		of   func(bench.Result) float64
	}{
		{"records/s", func(r bench.Result) float64 { return r.RecordsPerS }},
		{"processor seconds of the node for a record", cpu},
		{"ms to the receipt, p50", func(r bench.Result) float64 { return r.AcceptedLatency.P50 }},
		{"ms to the seal, p50", func(r bench.Result) float64 { return r.SealedLatency.P50 }},
		{"ms to the seal, p99", func(r bench.Result) float64 { return r.SealedLatency.P99 }},
	} {
		text := fmt.Sprintf("%s: without %.4g", m.name, value(m.of, without))
		for _, arm := range []string{with, hanging} {
			middle, low, high := ratio(m.of, arm)
			text += fmt.Sprintf("; %s %.4g, ratio %.3f (%.3f to %.3f)", arm, value(m.of, arm), middle, low, high)
		}
		t.Log(text)
	}
	t.Logf("the Fabric network shares these %d processors, and took %.3f of them without anchors, %.3f with, %.3f while it was not heard",
		runtime.NumCPU(), median(fabric[without]), median(fabric[with]), median(fabric[hanging]))
	// Wide enough for a machine that does something else too: there the middle of
	// eight ratios of turns that do the same was seen at 0.86.
	const least, seal = 0.75, 1.5
	for _, arm := range []string{with, hanging} {
		if middle, _, _ := ratio(func(r bench.Result) float64 { return r.RecordsPerS }, arm); middle < least {
			t.Errorf("%s: %.3f of the rate without anchors, want %.2f", arm, middle, least)
		}
		if middle, _, _ := ratio(func(r bench.Result) float64 { return r.SealedLatency.P50 }, arm); middle > seal {
			t.Errorf("%s: a seal takes %.2f times as long as without anchors", arm, middle)
		}
	}
	o.noAlarms()
}

// ownCost measures what anchoring itself takes of the processors, at a light load,
// where all else is alike: the rate of a busy node falls by about that share. This
// figure does not depend much on what else the machine does, so the goal is held
// against it.
func (o *outside) ownCost(turn time.Duration) {
	o.t.Helper()
	used := map[string][]float64{}
	for range 3 {
		for _, arm := range []string{without, with} {
			r := o.turn(arm, 2*turn, "--rate", "50", "--records", "10", "--connections", "4", "--sample", "1")
			used[arm] = append(used[arm], r.Node.CPU/r.Window)
		}
	}
	a, b := median(used[without]), median(used[with])
	share := (b - a) / float64(runtime.NumCPU())
	o.t.Logf("at 50 records/s the node takes %.4f processors without anchors and %.4f with three, each every 2 s: they cost %.2f %% of %d processors",
		a, b, 100*share, runtime.NumCPU())
	if share > goal {
		o.t.Errorf("that is more than %.0f %%", 100*goal)
	}
}

// fabricCPU is the processor time in seconds that the processes of the Fabric
// network have taken so far; Linux only, as they are.
func (o *outside) fabricCPU() (seconds float64) {
	o.t.Helper()
	files, err := filepath.Glob(filepath.Join(o.fabric.Dir, "pid", "*"))
	if err != nil || len(files) == 0 {
		o.t.Fatalf("no processes of the Fabric network: %v", err)
	}
	for _, f := range files {
		pid, _, _ := strings.Cut(string(testnet.Read(o.t, f)), " ")
		stat, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(pid), "stat"))
		if err != nil {
			continue // one that has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // after the name
		fields := strings.Fields(rest)
		for _, i := range []int{11, 12} { // user and system time, in hundredths of a second
			ticks, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				o.t.Fatal(err)
			}
			seconds += ticks / 100
		}
	}
	return seconds
}

// turn starts the vendor's node for one arm and loads it.
func (o *outside) turn(arm string, d time.Duration, load ...string) bench.Result {
	o.t.Helper()
	config := o.full[vendor]
	if arm == without {
		config = o.bare[vendor]
	}
	if arm == hanging {
		for _, name := range []string{justice, lite} {
			o.ways[vendor][name].Hang()
			defer o.ways[vendor][name].Go()
		}
		o.tsa.Fail(tsa.Fault{Hang: true})
		defer o.tsa.Fail(tsa.Fault{})
	}
	o.use(vendor, config, nil)
	before, err := o.anchors(vendor)
	if err != nil {
		o.t.Fatal(err)
	}
	file := filepath.Join(o.t.TempDir(), "result.json")
	testnet.Must(o.t, 0, append([]string{"bench", "--home", o.Home(vendor), "--duration", d.String(), "--warmup", "1s",
		"--samples-per-second", "10", "--pid", fmt.Sprint(o.Nodes[vendor].Cmd.Process.Pid), "--json", file}, load...)...)
	after, err := o.anchors(vendor)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, name := range anchorNames {
		switch rose := after[name].Size > before[name].Size; {
		case arm == with && !rose:
			o.t.Errorf("%s anchored nothing in a turn: %+v", name, after[name])
		case arm == hanging && (rose || after[name].Pending == 0):
			o.t.Errorf("%s does not hang: %+v", name, after[name])
		}
	}
	var r bench.Result
	if err := json.Unmarshal(testnet.Read(o.t, file), &r); err != nil {
		o.t.Fatal(err)
	}
	if r.Node == nil || r.AcceptedLatency == nil || r.SealedLatency == nil {
		o.t.Fatalf("the result is not whole: %+v", r)
	}
	return r
}

// cpu is the processor time of the node for a record, in the measured window.
func cpu(r bench.Result) float64 { return r.Node.CPU / (r.RecordsPerS * r.Window) }

func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
