package fsck

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Result is what a check came to.
type Result string

// The results and their exit codes.
const (
	Good      Result = "good"      // 0: everything that was read is right
	Wrong     Result = "wrong"     // 1: Problem is wrong
	Unchecked Result = "unchecked" // 3: it could not be read to the end
)

// Report is what a check found.
type Report struct {
	Result  Result   `json:"result"`
	Home    string   `json:"home"`
	Member  string   `json:"member"`
	Chain   string   `json:"chain,omitempty"`
	Problem *Problem `json:"problem,omitempty"` // the first thing that is wrong
	Reason  string   `json:"reason,omitempty"`  // why it could not be checked
	Notes   []*Note  `json:"notes,omitempty"`   // what is no fault, and should be known
	Skipped []string `json:"skipped"`           // what was not read
	Counts  Counts   `json:"counts"`
}

// Counts is how much was checked.
type Counts struct {
	Entries     uint64 `json:"entries"`      // of the ledger
	Heights     uint64 `json:"heights"`      // blocks with their commits
	Size        uint64 `json:"size"`         // of the ledger
	Height      uint64 `json:"height"`       // of the ledger
	Sealed      uint64 `json:"sealed"`       // newest size that meets the quorum
	SealedSizes uint64 `json:"sealed_sizes"` // sizes that meet the quorum
	Seals       uint64 `json:"seals"`
	Batches     uint64 `json:"batches"` // files of the archive
	Records     uint64 `json:"records"`
	Statements  uint64 `json:"statements"`
	Receipts    uint64 `json:"receipts"`
	Bytes       uint64 `json:"bytes"`         // of the archive's files
	Index       uint64 `json:"index_entries"` // of the archive's index
	Anchors     uint64 `json:"anchors"`       // receipts from outside the consortium
}

// ExitCode is the exit code of the command.
func (r *Report) ExitCode() int {
	switch r.Result {
	case Good:
		return 0
	case Wrong:
		return 1
	default:
		return 3
	}
}

// A Place is where in a file or in the ledger something is.
type Place struct {
	Unit string // offset, index, height, size, seq, line
	N    uint64
}

// A Finding names a thing, its place, and what was seen there.
type Finding struct {
	Code   Code
	File   string // relative to the home where it is inside
	Places []Place
	Detail string // English, for those who know the formats
}

// A Problem is a Finding that is wrong. It is an error.
type Problem Finding

// A Note is a Finding that is no fault.
type Note Finding

func (f Finding) where() string {
	var b strings.Builder
	b.WriteString(f.File)
	for _, p := range f.Places {
		fmt.Fprintf(&b, ", %s %d", p.Unit, p.N)
	}
	return b.String()
}

// Error implements error.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s: %s: %s", Finding(*p).where(), p.Code, p.Detail)
}

// at adds a place.
func (p *Problem) at(unit string, n uint64) *Problem {
	p.Places = append(p.Places, Place{unit, n})
	return p
}

func wrong(code Code, file, format string, args ...any) *Problem {
	return &Problem{Code: code, File: file, Detail: fmt.Sprintf(format, args...)}
}

func (f Finding) json() map[string]any {
	w := f.Code.words()
	m := map[string]any{"code": f.Code, "file": f.File, "detail": f.Detail,
		"what": map[string]string{"zh": w.what[0], "en": w.what[1]}}
	if w.means[0] != "" {
		m["means"] = map[string]string{"zh": w.means[0], "en": w.means[1]}
	}
	if w.do[0] != "" {
		m["do"] = map[string]string{"zh": w.do[0], "en": w.do[1]}
	}
	for _, p := range f.Places {
		m[p.Unit] = p.N
	}
	return m
}

// MarshalJSON writes the places as fields and the words in both languages.
func (p *Problem) MarshalJSON() ([]byte, error) { return json.Marshal(Finding(*p).json()) }

// MarshalJSON writes what Problem.MarshalJSON writes.
func (n *Note) MarshalJSON() ([]byte, error) { return json.Marshal(Finding(*n).json()) }

// Text is the report for people; zh chooses Chinese.
func (r *Report) Text(zh bool) string {
	t := func(a, b string) string {
		if zh {
			return a
		}
		return b
	}
	lang := 1
	if zh {
		lang = 0
	}
	var b strings.Builder
	for _, n := range r.Notes {
		w := n.Code.words()
		fmt.Fprintf(&b, "%s%s: %s", t("说明：", "note: "), placeText(Finding(*n), zh), w.what[lang])
		if n.Detail != "" {
			fmt.Fprintf(&b, " (%s)", n.Detail)
		}
		b.WriteString("\n")
	}
	c := r.Counts
	if r.Result != Unchecked || c.Entries > 0 {
		fmt.Fprintf(&b, t("已核对：总账 %d 条、区块 %d 个、会签 %d 个（最新已会签大小 %d）；批次 %d 个、记录 %d 条、声明 %d 份、回执 %d 份，共 %d 字节；索引 %d 条；锚定回执 %d 份\n",
			"checked: %d ledger entries, %d blocks, %d seals (newest sealed size %d); %d batches, %d records, %d statements, %d receipts, %d bytes; %d index entries; %d receipts of anchors\n"),
			c.Entries, c.Heights, c.Seals, c.Sealed, c.Batches, c.Records, c.Statements, c.Receipts, c.Bytes, c.Index, c.Anchors)
	}
	switch r.Result {
	case Good:
		fmt.Fprintf(&b, t("完好：%s（成员 %s，链 %s）\n", "good: %s (member %s, chain %s)\n"), r.Home, r.Member, r.Chain)
	case Unchecked:
		fmt.Fprintf(&b, t("未能核对：%s\n", "could not be checked: %s\n"), r.Reason)
	case Wrong:
		w := r.Problem.Code.words()
		fmt.Fprintf(&b, "%s%s\n", t("错误：", "wrong: "), placeText(Finding(*r.Problem), zh))
		fmt.Fprintf(&b, "  %s%s [%s]\n", t("问题：", "what: "), w.what[lang], r.Problem.Code)
		fmt.Fprintf(&b, "  %s%s\n", t("细节：", "detail: "), r.Problem.Detail)
		fmt.Fprintf(&b, "  %s%s\n", t("意味着：", "means: "), w.means[lang])
		fmt.Fprintf(&b, "  %s%s\n", t("请：", "do: "), w.do[lang])
	}
	return b.String()
}

var unitsZH = map[string]string{"offset": "偏移", "index": "总账序号", "height": "高度", "size": "总账大小", "seq": "批次序号", "line": "行"}

func placeText(f Finding, zh bool) string {
	if !zh {
		return f.where()
	}
	s := f.File
	for _, p := range f.Places {
		s += "，" + unitsZH[p.Unit] + " " + strconv.FormatUint(p.N, 10)
	}
	return s
}
