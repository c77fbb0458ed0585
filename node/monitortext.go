package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"qifeng/api/monitor"
	"qifeng/api/wire"
)

// printLook writes one line, and of a contradiction a few.
func (a *app) printLook(r *monitor.Report, files []string) error {
	if a.json {
		line, err := json.Marshal(monitorLine(r, files))
		if err != nil {
			return fmt.Errorf("printing JSON: %w", err)
		}
		fmt.Fprintf(a.out, "%s\n", line)
		return nil
	}
	fmt.Fprintf(a.out, "%s  %s%s\n", r.At.UTC().Format(time.RFC3339), a.lookWords(r), a.lookAge(r))
	if r.Alarm == nil {
		return nil
	}
	a.say("警报：总账自相矛盾（%s）：%s", "ALARM: the ledger contradicts itself (%s): %s", r.Alarm.Kind, r.Alarm.Detail)
	if len(r.Alarm.Members) > 0 {
		a.say("  涉及成员：%s", "  members: %s", strings.Join(r.Alarm.Members, ", "))
	}
	for _, name := range files {
		a.say("  已写入 %s", "  written to %s", name)
	}
	return nil
}

func (a *app) lookWords(r *monitor.Report) string {
	words := func(zh, en string, args ...any) string { return fmt.Sprintf(a.lang.T(zh, en), args...) }
	switch r.Outcome {
	case monitor.First:
		return words("首次：总账 %d 项，承接信任策略的创世", "first: %d entries, from the genesis of the policy on", r.Size)
	case monitor.Advanced:
		return words("一致：总账 %d → %d 项", "consistent: %d → %d entries", r.From, r.Size)
	case monitor.Same:
		return words("未变：总账 %d 项", "unchanged: %d entries", r.Size)
	case monitor.Behind:
		return words("落后：节点在 %d 项，此前已见 %d 项，待其追上再核对", "behind: the node has %d entries, %d were seen before; to be compared once it has caught up", r.Size, r.From)
	case monitor.Unproven:
		return words("未证明：节点没有给出路径：%s", "not proved: the node gives no path: %s", r.Reason)
	case monitor.NotSealed:
		return words("未会签：没有达到门槛的检查点：%s", "not sealed: no checkpoint that meets the quorum: %s", r.Reason)
	case monitor.Unreachable:
		return words("无应答：%s", "no answer: %s", r.Reason)
	case monitor.Contradiction:
		return words("矛盾：节点在 %d 项", "contradiction: the node has %d entries", r.Size)
	default:
		return words("无效：%s", "not valid: %s", r.Reason)
	}
}

func (a *app) lookAge(r *monitor.Report) string {
	var out string
	if r.Sealed != nil {
		out += fmt.Sprintf(a.lang.T("；会签 %d/%d", "; sealed by %d of %d"), r.Seals, r.Of)
	}
	if r.Audited > 0 {
		out += fmt.Sprintf(a.lang.T("；已核对 %d 条", "; %d entries audited"), r.Audited)
	}
	age := r.Age.Truncate(time.Second)
	switch {
	case r.Stale:
		out += fmt.Sprintf(a.lang.T("；陈旧：已证明的最新会签在 %v 前", "; STALE: what is proved was sealed %v ago"), age)
	case r.Ahead:
		out += fmt.Sprintf(a.lang.T("；时钟：会签时间比本机快 %v", "; CLOCK: the seals are %v ahead of this machine"), -age)
	case age > 0:
		out += fmt.Sprintf(a.lang.T("；最新会签 %v 前", "; sealed %v ago"), age)
	}
	return out
}

// monitorJSON is one line of monitor --json.
type monitorJSON struct {
	At      string            `json:"at"`
	Outcome monitor.Outcome   `json:"outcome"`
	Proved  bool              `json:"proved"`
	Reason  string            `json:"reason,omitempty"`
	From    uint64            `json:"from"`
	Size    uint64            `json:"size"`
	Root    *wire.Pair        `json:"root,omitempty"`
	Seals   int               `json:"seals"`
	Of      int               `json:"members"`
	Sealed  string            `json:"sealed_time,omitempty"`
	Age     *float64          `json:"age_seconds,omitempty"`
	Stale   bool              `json:"stale"`
	Ahead   bool              `json:"clock_behind"`
	Audited uint64            `json:"audited,omitempty"`
	Alarm   *monitorAlarmJSON `json:"alarm,omitempty"`
}

type monitorAlarmJSON struct {
	Kind    monitor.Kind `json:"kind"`
	Detail  string       `json:"detail"`
	Members []string     `json:"members,omitempty"`
	Files   []string     `json:"files"`
}

func monitorLine(r *monitor.Report, files []string) *monitorJSON {
	out := &monitorJSON{
		At: r.At.UTC().Format(time.RFC3339Nano), Outcome: r.Outcome, Proved: r.Proved(), Reason: r.Reason, From: r.From, Size: r.Size,
		Seals: r.Seals, Of: r.Of, Stale: r.Stale, Ahead: r.Ahead, Audited: r.Audited,
	}
	if r.Sealed != nil {
		pair := wire.PairOf(r.Sealed.Root)
		out.Root = &pair
		if r.Sealed.Met {
			out.Sealed = time.Unix(r.Sealed.SealedTime, 0).UTC().Format(time.RFC3339)
		}
	}
	if r.Age != 0 {
		age := r.Age.Seconds()
		out.Age = &age
	}
	if r.Alarm != nil {
		out.Alarm = &monitorAlarmJSON{r.Alarm.Kind, r.Alarm.Detail, r.Alarm.Members, files}
	}
	return out
}
