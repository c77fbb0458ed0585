package proof

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"qifeng/evidence/canon"
)

// Lang is a language of a report.
type Lang string

// The languages.
const (
	Chinese Lang = "zh"
	English Lang = "en"
)

func (w Words) in(l Lang) string {
	if l == English {
		return w.EN
	}
	return w.ZH
}

var stepTitles = map[StepName]Words{
	StepChain:         {"链", "chain"},
	StepContent:       {"原文", "content"},
	StepSubmission:    {"提交", "submission"},
	StepSubmitter:     {"提交方", "submitter"},
	StepReceipt:       {"受理回执", "receipt"},
	StepBatch:         {"批次", "batch"},
	StepStream:        {"证据流", "stream"},
	StepReceived:      {"受理时间", "received at"},
	StepLedger:        {"总账", "ledger"},
	StepKey:           {"密钥登记", "key"},
	StepStatement:     {"提交声明", "statement"},
	StepCheckpoint:    {"检查点", "checkpoint"},
	StepQuorum:        {"会签门槛", "seal quorum"},
	StepPin:           {"钉定根", "pin"},
	StepTimes:         {"时间次序", "times"},
	StepSecondOpinion: {"双库复核", "second opinion"},
	StepAnchors:       {"外部锚定", "anchors"},
}

var outcomeWords = map[Outcome]Words{
	StepProved:     {"成立", "proved"},
	StepFailed:     {"不成立", "FAILED"},
	StepNotPresent: {"未证明", "not present"},
}

// verdicts are the one plain sentence of each result (law.md, art 16). A proof
// without content says so.
var verdicts = map[Result]Words{
	Proved:    {"上链后未经篡改", "unchanged since it went on the chain"},
	False:     {"验证不通过：原文或证明不真实，见上述“不成立”各项", "FALSE: the content or the proof is not true; see the steps that failed"},
	NotProved: {"未能证明：没有发现虚假之处，但给定信任策略的会签门槛未能证实它", "NOT PROVED: nothing is false, but the seal quorum of the given policy does not vouch for it"},
}

// Verdict is the report's one sentence.
func (r *Report) Verdict() Words {
	w := verdicts[r.Result]
	if s, _ := r.Step(StepContent); r.Result == Proved && s.Outcome != StepProved {
		return Words{"记录" + w.ZH + "（未比对原文）", "the record is " + w.EN + " (no content was compared)"}
	}
	return w
}

// Limits says what no report proves, whatever its result. The first two are
// the difference between articles 16 and 18 of the online-litigation rules.
func (r *Report) Limits() []Words {
	out := []Words{
		{"内容在上链之前是否真实（生成、存储过程须另行证明）", "that the content was true before it went on the chain: its making and keeping need evidence of their own"},
		{"记录所称的人员身份、签署意愿及核验结果是否属实（此处只证明该说法何时存在）", "that the identities, intents and results that the record states are true: only that they were stated by then"},
		{"提交方密钥在签署时未被撤销或盗用（节点受理时查验，本文件不含其证明）", "that the submitter's key was not revoked or stolen: nodes check it at intake, this file holds no proof of it"},
		r.legalTime(),
	}
	if r.anchored(AnchorFabric) {
		out = append(out, Words{"Fabric 账本中的任何时间是法定时间：Fabric 不证明时间，交易与区块的时间只是提交方所称",
			"that any time in a Fabric ledger is legal time: Fabric states none, the times of transactions and blocks are their submitters' claims"})
	}
	if r.anchored(AnchorWitness) {
		out = append(out, Words{"C2SP 见证者查验过 SM3 半部：其见证仅及 SHA-256 半部",
			"that a C2SP witness checked the SM3 half: it vouches for the SHA-256 half only"})
	}
	if r.Result != Proved {
		return append([]Words{{"上链后未经篡改", "that it is unchanged since it went on the chain"}}, out...)
	}
	return out
}

// legalTime says what is not proved of legal time: all of it, unless a time-stamp
// authority that the court trusts has dated the record.
func (r *Report) legalTime() Words {
	if !r.anchored(AnchorRFC3161) || r.Result != Proved {
		return Words{"法定时间：会签时间来自各成员自己的时钟，并非国家授时或时间戳机构的时间",
			"legal time: seal times are the members' own clocks, not those of a time-stamp authority"}
	}
	return Words{"法定时间：时间戳只表明记录在时间戳机构所示的时间已存在，并不表明它何时产生；该机构是否具备法定资质须另行查明；会签时间来自各成员自己的时钟",
		"legal time: a time-stamp shows only that the record existed at the time that its authority states, not when it was made; whether the law recognises that authority is not proved; seal times are the members' own clocks"}
}

// anchored reports whether an anchor of the kind verified.
func (r *Report) anchored(k AnchorKind) bool {
	return slices.ContainsFunc(r.Anchors, func(a AnchorReport) bool { return a.Kind == k && a.Outcome == StepProved })
}

// Text renders the report for people.
func (r *Report) Text(l Lang) string {
	var b strings.Builder
	line := func(zh, en string, args ...any) { fmt.Fprintf(&b, Words{zh, en}.in(l)+"\n", args...) }
	s := r.Record.Submission
	line("记录 %s", "record %s", r.ID)
	fmt.Fprintln(&b, describe(s).in(l))
	line("提交方 %s，受理节点 %s", "submitter %s, node %s", s.Submitter, r.Record.Intake.Node)
	line("来源 %s、%s、%s（提交方称）", "source %s, %s, %s (the submitter says)",
		term(s.Source.System, l), term(s.Source.Mechanism, l), term(s.Source.Environment, l))
	line("链 %s，信任策略指纹 SM3 %s", "chain %s, fingerprint of the trust policy SM3 %s", r.Policy.Chain, r.Policy.SM3)
	if r.Roots != nil {
		line("锚定信任根指纹 SM3 %s", "fingerprint of the anchor roots SM3 %s", r.Roots.SM3)
	}
	b.WriteByte('\n')
	for _, st := range r.Steps {
		fmt.Fprintf(&b, "  [%s] %s: %s\n", outcomeWords[st.Outcome].in(l), stepTitles[st.Name].in(l), st.Detail.in(l))
	}
	for _, a := range r.Anchors {
		fmt.Fprintf(&b, "    [%s] %s: %s\n", outcomeWords[a.Outcome].in(l), a.ID(), a.Detail.in(l))
	}
	b.WriteByte('\n')
	r.times(line)
	line("未证明的事项：", "NOT proved by this report:")
	for _, w := range r.Limits() {
		fmt.Fprintf(&b, "  - %s\n", w.in(l))
	}
	b.WriteByte('\n')
	line("结论：%s", "VERDICT: %s", r.Verdict().in(l))
	return b.String()
}

// times prints every stated time with whose word it is.
func (r *Report) times(line func(zh, en string, args ...any)) {
	line("时间：", "Times:")
	line("  采集 %s（提交方称）", "  captured %s (the submitter says)", millis(r.Record.Submission.CapturedAt))
	line("  签署提交声明 %s（提交方称）", "  statement signed %s (the submitter says)", millis(r.SignedAt))
	line("  受理 %s（节点 %s 称）", "  received %s (node %s says)", millis(r.Record.Intake.ReceivedAt), r.Record.Intake.Node)
	for _, s := range r.Seals {
		line("  会签 %[1]s（%[2]s，%[3]s）", "  sealed %[1]s (%[2]s, %[4]s)", s.Time.Format(time.RFC3339), s.Member, roleWords[s.Role], s.Role)
	}
	r.anchorTimes(line)
	if !r.SealedTime.IsZero() {
		line("  不晚于 %s：此时已达到会签门槛", "  not later than %s: by then the quorum was met", r.quorumTime().Format(time.RFC3339))
	}
	r.bracketTimes(line)
	line("", "")
}

// anchorTimes prints the times of outside witnesses.
func (r *Report) anchorTimes(line func(zh, en string, args ...any)) {
	for i := range r.Anchors {
		a := &r.Anchors[i]
		if a.Outcome != StepProved {
			continue
		}
		switch a.Kind {
		case AnchorRFC3161:
			line("  锚定 %s（%s，时间戳机构称）", "  anchored %s (%s, the time-stamp authority says)", millis(a.Time), a.ID())
		case AnchorWitness:
			line("  锚定 %s（%s，见证者自己的时钟）", "  anchored %s (%s, by the witness's own clock)", a.Time.Format(time.RFC3339), a.ID())
		case AnchorFabric:
			line("  锚定 %s（%s，提交交易的客户端所称，不作为时间来源）", "  anchored %s (%s, the client that submitted it says; no source of time)", millis(a.Endorsed.Claimed), a.ID())
		}
	}
}

// bracketTimes prints the strongest source where that is not the quorum, and what
// does not fit together.
func (r *Report) bracketTimes(line func(zh, en string, args ...any)) {
	b := r.Bracket
	if b == nil {
		return
	}
	if b.Source != sourceSeals {
		line("  不晚于 %s：以 %s 为最强的时间来源", "  not later than %s: by the strongest source of time, %s", millis(b.NotLaterThan), b.Source)
	}
	line("  各来源相差 %d 毫秒", "  the sources are %d ms apart", b.Spread)
	if len(b.Impossible) > 0 {
		w := b.disorder()
		line("  次序不可能：%[1]s", "  an order that cannot be: %[2]s", w.ZH, w.EN)
	}
}

// JSON renders the report for programs: canonical JSON, stable field names,
// details in both languages. docs/spec/verdict.md describes it.
func (r *Report) JSON() []byte {
	w := &canon.Writer{}
	words := func(key string, v Words) {
		w.Key(key).Object().Key("en").String(v.EN).Key("zh").String(v.ZH).EndObject()
	}
	s := r.Record.Submission
	w.Object()
	r.writeAnchors(w, words)
	w.Key("exit").Int(uint64(r.ExitCode())).Key("id").String(string(r.ID)).
		Key("kind").String(string(s.Kind)).Key("ledger_size").Int(r.LedgerSize)
	w.Key("limits").Array()
	for _, l := range r.Limits() {
		w.Object().Key("en").String(l.EN).Key("zh").String(l.ZH).EndObject()
	}
	w.EndArray().Key("node").String(r.Record.Intake.Node)
	w.Key("policy").Object().Key("chain").String(r.Policy.Chain).Key("sha256").String(r.Policy.SHA256).
		Key("sm3").String(r.Policy.SM3).EndObject()
	w.Key("result").String(string(r.Result))
	if r.Roots != nil {
		w.Key("roots").Object().Key("sha256").String(r.Roots.SHA256).Key("sm3").String(r.Roots.SM3).EndObject()
	}
	w.Key("seals").Array()
	for _, sl := range r.Seals {
		w.Object().Key("member").String(sl.Member).Key("role").String(string(sl.Role)).Key("time").Time(sl.Time).EndObject()
	}
	w.EndArray().Key("steps").Array()
	for _, st := range r.Steps {
		w.Object()
		words("detail", st.Detail)
		w.Key("name").String(string(st.Name)).Key("outcome").String(string(st.Outcome)).EndObject()
	}
	w.EndArray().Key("submitter").String(s.Submitter)
	w.Key("times").Object().Key("captured_at").Time(s.CapturedAt).Key("received_at").Time(r.Record.Intake.ReceivedAt)
	if !r.SealedTime.IsZero() {
		w.Key("sealed").Time(r.SealedTime)
	}
	w.Key("signed_at").Time(r.SignedAt).EndObject()
	words("verdict", r.Verdict())
	return w.EndObject().Bytes()
}

// writeAnchors adds what a report has only where there is an anchor.
func (r *Report) writeAnchors(w *canon.Writer, words func(string, Words)) {
	if len(r.Anchors) == 0 {
		return
	}
	w.Key("anchors").Array()
	for i := range r.Anchors {
		a := &r.Anchors[i]
		w.Object()
		if a.Accuracy > 0 {
			w.Key("accuracy_ms").Int(uint64((a.Accuracy + time.Millisecond - 1) / time.Millisecond))
		}
		words("detail", a.Detail)
		w.Key("kind").String(string(a.Kind)).Key("name").String(a.Name).Key("outcome").String(string(a.Outcome)).Key("size").Int(a.Size)
		if !a.Time.IsZero() {
			w.Key("time").Time(a.Time)
		}
		w.EndObject()
	}
	w.EndArray()
	b := r.Bracket
	if b == nil {
		return
	}
	w.Key("bracket").Object().Key("impossible").Array()
	for _, d := range b.Impossible {
		w.Object().Key("anchor").String(d.Anchor).Key("earlier_than").String(d.EarlierThan).EndObject()
	}
	w.EndArray().Key("not_later_than").Time(b.NotLaterThan).Key("source").String(b.Source).Key("spread_ms").Int(b.Spread).EndObject()
}
