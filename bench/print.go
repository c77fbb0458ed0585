package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Print writes the result for people; lang is "zh" or "en".
func (r *Result) Print(w io.Writer, lang string) error {
	p := printer{lang: lang}
	loop := p.t("闭环", "closed loop")
	if r.Rate > 0 {
		loop = fmt.Sprintf(p.t("开环，每秒 %.0f 条", "open loop, %.0f records/s"), r.Rate)
	}
	p.line(p.t("负载", "load"), p.t("%d 条/请求，%d 连接，%s，窗口 %.1f s", "%d records/request, %d connections, %s, window %.1f s"),
		r.Records, r.Connections, loop, r.Window)
	p.line(p.t("速率", "rate"), p.t("%.0f 条/s，%.0f 请求/s；每条 %.0f 字节", "%.0f records/s, %.0f requests/s; %.0f bytes a record"),
		r.RecordsPerS, r.RequestsPerS, r.RecordBytes)
	p.latency(p.t("受理", "accepted"), r.AcceptedLatency)
	p.latency(p.t("会签", "sealed"), r.SealedLatency)
	p.line(p.t("共受理", "acknowledged"), p.t("%d 请求，%d 条；最后回执之后 %.0f ms 全部会签", "%d requests, %d records; all sealed %.0f ms after the last receipt"),
		r.Accepted.Requests, r.Accepted.Records, r.Drained)
	p.line(p.t("抽查", "samples"), p.t("%d 条，不成立 %d，未会签 %d，未抽 %d", "%d, not verified %d, not sealed %d, skipped %d"),
		r.Samples, r.Unverified, r.Unsealed, r.Skipped)
	p.line(p.t("拒绝", "refused"), p.t("%s；无 Retry-After %d", "%s; without Retry-After %d"), counts(r.Refused), r.NoWait)
	if r.Unsent > 0 {
		p.line(p.t("未发出", "NOT SENT"), p.t("%d 个请求到期而未能发出：节点承受不了此速率", "%d requests came due and could not be sent: the node does not bear this rate"), r.Unsent)
	}
	if len(r.Failed) > 0 {
		p.line(p.t("失败", "FAILED"), "%s", counts(r.Failed))
	}
	per := func(cpu float64) float64 { return cpu * 1e6 / max(r.RecordsPerS*r.Window, 1) }
	if r.Node != nil {
		var others float64
		for _, o := range r.Others {
			others += o.CPU
		}
		p.line(p.t("节点", "node"), p.t("内存峰值 %.0f MiB（匿名 %.0f），处理器每条 %.1f µs；其他成员 %.1f，发生器 %.1f",
			"peak memory %.0f MiB (anonymous %.0f), processor %.1f µs a record; other members %.1f, generator %.1f"),
			r.Node.PeakRSS, r.Node.PeakAnonymous, per(r.Node.CPU), per(others), per(r.Generator.CPU))
	}
	if r.Chain != nil {
		p.line(p.t("链", "chain"), p.t("每条 %.2f 字节", "%.2f bytes a record"), r.Chain["all"])
	}
	if r.Lookups != nil {
		p.latency(p.t("按编号", "by id"), r.Lookups.Record)
		p.latency(p.t("取证明", "proof"), r.Lookups.Proof)
		p.latency(p.t("按摘要", "by digest"), r.Lookups.Digest)
	}
	for _, n := range r.Notes {
		p.line("!", "%s", n)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

type printer struct {
	lang string
	b    strings.Builder
}

func (p *printer) t(zh, en string) string {
	if p.lang == "en" {
		return en
	}
	return zh
}

func (p *printer) line(name, format string, args ...any) {
	fmt.Fprintf(&p.b, "%-14s "+format+"\n", append([]any{name}, args...)...)
}

func (p *printer) latency(name string, l *Latency) {
	if l == nil {
		p.line(name, "%s", p.t("未测得", "not measured"))
		return
	}
	p.line(name, "p50 %.2f ms  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f  (%d)", l.P50, l.P90, l.P99, l.P999, l.Max, l.Count)
}

// counts writes what was counted, in order.
func counts(m map[string]int64) string {
	if len(m) == 0 {
		return "0"
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s: %d  ", k, m[k])
	}
	return strings.TrimSpace(b.String())
}
