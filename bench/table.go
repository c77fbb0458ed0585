package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Table is what a folder of raw results says: one file each, named by what was
// measured.
type Table struct {
	Dir      string
	Loads    map[string]*Result
	Plains   map[string]*PlainResult
	Physical *Physical
}

// The names of the loads in a folder, in the order of the table. Of those with
// the suffix a name may begin with, as size-1, there may be several.
const (
	Batch100      = "batch100"
	Batch1000     = "batch1000"
	Single        = "single"
	Latency100    = "latency100"
	Latency1000   = "latency1000"
	LatencySingle = "latency-single"
	limitsName    = "limits"
	echoName      = "echo"
)

// required are the loads without which a run says nothing.
var required = []string{Batch100, Batch1000, Single, Latency100}

var order = []string{Batch100, Batch1000, Single, Latency100, Latency1000, LatencySingle}

// ReadTable reads the raw results of a folder. Files of other names than ours
// are other people's: a load is a name-*.json of this package.
func ReadTable(dir string) (*Table, error) {
	t := &Table{Dir: dir, Loads: map[string]*Result{}, Plains: map[string]*PlainResult{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a result: %w", err)
		}
		var kind struct {
			What    string   `json:"what"`
			Records int      `json:"records_per_request"`
			URL     string   `json:"url"`
			Hash    *float64 `json:"hash_only_records_per_s"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		var to any
		switch {
		case kind.Records > 0:
			t.Loads[name] = &Result{}
			to = t.Loads[name]
		case kind.URL != "":
			t.Plains[name] = &PlainResult{}
			to = t.Plains[name]
		case kind.Hash != nil:
			t.Physical = &Physical{}
			to = t.Physical
		default:
			return nil, fmt.Errorf("%s is no result of qifeng bench", path)
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	return t, nil
}

// Figures are those of the last line of scripts/bench.sh. All are measured in
// the run; one that was not is absent.
type Figures struct {
	Batch100    *float64           `json:"batch100_records_per_s,omitempty"`
	Batch1000   *float64           `json:"batch1000_records_per_s,omitempty"`
	Single      *float64           `json:"single_requests_per_s,omitempty"`
	SealedP50   *float64           `json:"sealed_p50_ms,omitempty"`
	SealedP99   *float64           `json:"sealed_p99_ms,omitempty"`
	Unverified  *int64             `json:"unverified,omitempty"`
	PeakRSS     *float64           `json:"peak_rss_mib,omitempty"`
	AcceptedP99 *float64           `json:"accepted_p99_ms,omitempty"`
	AllSealed   *float64           `json:"batch100_all_sealed_ms,omitempty"`
	ChainBytes  *float64           `json:"chain_bytes_per_record,omitempty"`
	Hash        *float64           `json:"hash_only_records_per_s,omitempty"`
	Verify      *float64           `json:"sm2_verify_per_s,omitempty"`
	Sync        *float64           `json:"fsync_per_s,omitempty"`
	Echo        *float64           `json:"echo_requests_per_s,omitempty"`
	SingleEcho  *float64           `json:"single_of_echo,omitempty"`
	Tessera     *float64           `json:"tessera_requests_per_s,omitempty"`
	Others      map[string]float64 `json:"other_loads_records_per_s,omitempty"`
	OK          bool               `json:"ok"`
}

// Figures sums up the table; the error says what went wrong, or if it is to be
// whole, what is missing.
func (t *Table) Figures(whole bool) (*Figures, error) {
	f := &Figures{}
	var errs []error
	for _, name := range required {
		if !whole {
			break
		}
		if r := t.Loads[name]; r == nil || r.Accepted.Requests == 0 {
			errs = append(errs, fmt.Errorf("the load %s was not measured", name))
		}
	}
	for name, r := range t.Loads {
		f.add(r)
		if !slices.Contains(order, name) {
			if f.Others == nil {
				f.Others = map[string]float64{}
			}
			f.Others[name] = r.RecordsPerS
		}
		if !r.OK() {
			errs = append(errs, fmt.Errorf("%s: %d not verified, %d not sealed, failed %s", name, r.Unverified, r.Unsealed, counts(r.Failed)))
		}
	}
	if r := t.Loads[Batch100]; r != nil {
		f.Batch100, f.AllSealed = &r.RecordsPerS, &r.Drained
		if v, ok := r.Chain["all"]; ok {
			f.ChainBytes = &v
		}
	}
	if r := t.Loads[Batch1000]; r != nil {
		f.Batch1000 = &r.RecordsPerS
	}
	if r := t.Loads[Single]; r != nil {
		f.Single = &r.RequestsPerS
	}
	if err := f.latencies(t.Loads[Latency100]); err != nil && whole {
		errs = append(errs, err)
	}
	f.physical(t)
	f.OK = len(errs) == 0
	return f, errors.Join(errs...)
}

// add counts what is counted over all loads.
func (f *Figures) add(r *Result) {
	if f.Unverified == nil {
		f.Unverified = new(int64)
	}
	*f.Unverified += r.Unverified
	if r.Node != nil && (f.PeakRSS == nil || r.Node.HighWater > *f.PeakRSS) {
		f.PeakRSS = &r.Node.HighWater
	}
}

func (f *Figures) latencies(r *Result) error {
	if r == nil || r.SealedLatency == nil || r.AcceptedLatency == nil {
		return errors.New("no latency was measured")
	}
	f.SealedP50, f.SealedP99, f.AcceptedP99 = &r.SealedLatency.P50, &r.SealedLatency.P99, &r.AcceptedLatency.P99
	if r.Unsent > 0 {
		return fmt.Errorf("%d requests of the open loop were never sent: the node does not bear %.0f records/s", r.Unsent, r.Rate)
	}
	return nil
}

func (f *Figures) physical(t *Table) {
	if p := t.Physical; p != nil {
		f.Hash, f.Verify, f.Sync = &p.Hash, &p.Verify, &p.Sync
	}
	if e := t.Plains[echoName]; e != nil {
		f.Echo = &e.RequestsPerS
		if f.Single != nil && e.RequestsPerS > 0 {
			ratio := *f.Single / e.RequestsPerS
			f.SingleEcho = &ratio
		}
	}
	for name, e := range t.Plains {
		if strings.HasPrefix(name, "tessera") && (f.Tessera == nil || e.RequestsPerS > *f.Tessera) {
			f.Tessera = &e.RequestsPerS
		}
	}
}

// names are the loads in the order of the table, unknown ones last.
func names[T any](of map[string]T) []string {
	var out []string
	for _, name := range order {
		if _, ok := of[name]; ok {
			out = append(out, name)
		}
	}
	var rest []string
	for name := range of {
		if !slices.Contains(order, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

// Print writes the table for people, in columns or in Markdown.
func (t *Table) Print(w io.Writer, lang string, markdown bool) {
	p := &printer{lang: lang}
	g := grid{markdown: markdown}
	g.row(p.t("负载", "load"), p.t("条/请求", "records/request"), p.t("连接", "connections"), p.t("开环 条/s", "offered/s"), p.t("条/s", "records/s"),
		p.t("请求/s", "requests/s"), p.t("受理 p50/p99 ms", "accepted p50/p99 ms"), p.t("会签 p50/p99 ms", "sealed p50/p99 ms"),
		p.t("全部会签 ms", "all sealed ms"), p.t("抽查/不成立", "samples/unverified"), p.t("节点 MiB", "node MiB"), p.t("链 B/条", "chain B/record"))
	for _, name := range names(t.Loads) {
		g.row(t.Loads[name].cells(name)...)
	}
	g.write(w)
	g = grid{markdown: markdown}
	g.row(p.t("上限与比较", "limit, comparison"), p.t("数值", "figure"))
	if l := t.Physical; l != nil {
		g.row(p.t("只算哈希（两种，全部核）", "hash only (both, all cores)"), fmt.Sprintf(p.t("%.0f 条/s（%.0f 字节）", "%.0f records/s (%.0f bytes)"), l.Hash, l.RecordBytes))
		g.row(p.t("只验签 SM2（全部核）", "SM2 verify only (all cores)"), fmt.Sprintf("%.0f/s", l.Verify))
		g.row(p.t("只签名 SM2（全部核）", "SM2 sign only (all cores)"), fmt.Sprintf("%.0f/s", l.Sign))
		g.row(p.t("只生成请求（发生器，全部核）", "generator only (all cores)"), fmt.Sprintf(p.t("%.0f 条/s", "%.0f records/s"), l.Make))
		g.row(p.t("只落盘（64 KiB 追加加 fsync）", "fsync only (append of 64 KiB)"), fmt.Sprintf("%.0f/s", l.Sync))
	}
	for _, name := range names(t.Plains) {
		r := t.Plains[name]
		g.row(fmt.Sprintf(p.t("%s：%d 连接，%d 字节", "%s: %d connections, %d bytes"), name, r.Connections, r.Bytes),
			fmt.Sprintf(p.t("%.0f 请求/s，p50 %.2f ms，p99 %.2f ms", "%.0f requests/s, p50 %.2f ms, p99 %.2f ms"), r.RequestsPerS, r.Latency.P50, r.Latency.P99))
	}
	g.write(w)
	t.lookups(w, p, markdown)
	t.where(w, p, markdown)
}

func (t *Table) lookups(w io.Writer, p *printer, markdown bool) {
	g := grid{markdown: markdown}
	g.row(p.t("查询（HTTP，已签名）p50/p99 ms", "look-ups (HTTP, signed) p50/p99 ms"), p.t("按编号", "by id"), p.t("证明", "proof"), p.t("按摘要", "by digest"))
	for _, name := range names(t.Loads) {
		if l := t.Loads[name].Lookups; l != nil {
			g.row(name, quantiles(l.Record), quantiles(l.Proof), quantiles(l.Digest))
		}
	}
	if len(g.rows) > 1 {
		g.write(w)
	}
}

// where says on which machine, at which commit and by which commands.
func (t *Table) where(w io.Writer, p *printer, markdown bool) {
	mark := ""
	if markdown {
		mark = "    "
	}
	var heads []Head
	for _, name := range names(t.Loads) {
		heads = append(heads, t.Loads[name].Head)
	}
	for _, name := range names(t.Plains) {
		heads = append(heads, t.Plains[name].Head)
	}
	if len(heads) == 0 {
		return
	}
	slices.SortFunc(heads, func(a, b Head) int { return a.Began.Compare(b.Began) })
	m := heads[0].Machine
	fmt.Fprintf(w, p.t("机器：%s，%d 核，%d MiB，Linux %s，%s；提交 %s\n", "machine: %s, %d cores, %d MiB, Linux %s, %s; commit %s\n"),
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, heads[0].Commit)
	fmt.Fprintf(w, p.t("原始结果：%s\n命令：\n\n", "raw results: %s\ncommands:\n\n"), t.Dir)
	for _, h := range heads {
		fmt.Fprintf(w, "%s%s  %s\n", mark, h.Began.Format("15:04:05"), strings.Join(h.Command, " "))
	}
	fmt.Fprintln(w)
}

func (r *Result) cells(name string) []string {
	offered, memory, chain := "", "", ""
	if r.Rate > 0 {
		offered = fmt.Sprintf("%.0f", r.Rate)
	}
	if r.Node != nil {
		memory = fmt.Sprintf("%.0f", r.Node.PeakRSS)
	}
	if v, ok := r.Chain["all"]; ok {
		chain = fmt.Sprintf("%.2f", v)
	}
	return []string{name, fmt.Sprint(r.Records), fmt.Sprint(r.Connections), offered, fmt.Sprintf("%.0f", r.RecordsPerS), fmt.Sprintf("%.0f", r.RequestsPerS),
		quantiles(r.AcceptedLatency), quantiles(r.SealedLatency), fmt.Sprintf("%.0f", r.Drained), fmt.Sprintf("%d/%d", r.Samples, r.Unverified), memory, chain}
}

func quantiles(l *Latency) string {
	if l == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f / %.2f", l.P50, l.P99)
}
