package proof

import (
	"fmt"
	"strings"
	"time"

	"qifeng/evidence/canon"
)

func seconds(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

var fraudTitles = map[StepName]Words{
	StepChain:         {"链与成员", "chain and member"},
	StepFirst:         {"第一份", "first"},
	StepSecond:        {"第二份", "second"},
	StepConflict:      {"矛盾", "contradiction"},
	StepSecondOpinion: {"双库复核", "second opinion"},
}

// Verdict is the report's one sentence.
func (r *FraudReport) Verdict() Words {
	m := r.Fraud.Member
	switch {
	case r.Result == NotProved:
		return Words{"未能判断：给定的信任策略不属于这条链，或不认识该成员", "NOT PROVED: the given policy is of another chain, or does not know the member"}
	case r.Result == False:
		return Words{"不成立：此文件没有证明成员 " + m + " 自相矛盾", "FALSE: this file does not prove that " + m + " contradicted itself"}
	case r.Fraud.Kind == SplitView:
		return Words{fmt.Sprintf("成立：成员 %s 对同为 %d 项的总账会签了两份不同的历史", m, r.Number),
			fmt.Sprintf("PROVED: %s sealed two different histories of the ledger of %d entries", m, r.Number)}
	default:
		return Words{fmt.Sprintf("成立：节点 %s 为第 %d 批签署了两份不同的批次头", m, r.Number),
			fmt.Sprintf("PROVED: node %s signed two different headers for batch %d", m, r.Number)}
	}
}

// Limits says what no fraud proof proves.
func (r *FraudReport) Limits() []Words {
	return []Words{
		{"是谁的过错：密钥可能被盗用，节点可能被错误地恢复", "whose fault it was: its keys may have been stolen, its node wrongly restored"},
		{"两份之中哪一份属实", "which of the two is true"},
	}
}

// Text renders the report for people.
func (r *FraudReport) Text(l Lang) string {
	var b strings.Builder
	line := func(zh, en string, args ...any) { fmt.Fprintf(&b, Words{zh, en}.in(l)+"\n", args...) }
	line("欺诈证明（%s），成员 %s", "fraud proof (%s), member %s", r.Fraud.Kind, r.Fraud.Member)
	line("链 %s，信任策略指纹 SM3 %s", "chain %s, fingerprint of the trust policy SM3 %s", r.Policy.Chain, r.Policy.SM3)
	b.WriteByte('\n')
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "  [%s] %s: %s\n", outcomeWords[s.Outcome].in(l), fraudTitles[s.Name].in(l), s.Detail.in(l))
	}
	b.WriteByte('\n')
	line("未证明的事项：", "NOT proved by this report:")
	for _, w := range r.Limits() {
		fmt.Fprintf(&b, "  - %s\n", w.in(l))
	}
	b.WriteByte('\n')
	line("结论：%s", "VERDICT: %s", r.Verdict().in(l))
	return b.String()
}

// JSON renders the report for programs; docs/spec/fraud.md describes it.
func (r *FraudReport) JSON() []byte {
	w := &canon.Writer{}
	words := func(v Words) { w.Object().Key("en").String(v.EN).Key("zh").String(v.ZH).EndObject() }
	w.Object().Key("exit").Int(uint64(r.ExitCode())).Key("kind").String(string(r.Fraud.Kind)).Key("limits").Array()
	for _, l := range r.Limits() {
		words(l)
	}
	w.EndArray().Key("member").String(r.Fraud.Member).Key("number").Int(r.Number)
	w.Key("policy").Object().Key("chain").String(r.Policy.Chain).Key("sha256").String(r.Policy.SHA256).
		Key("sm3").String(r.Policy.SM3).EndObject()
	w.Key("result").String(string(r.Result)).Key("steps").Array()
	for _, s := range r.Steps {
		w.Object().Key("detail")
		words(s.Detail)
		w.Key("name").String(string(s.Name)).Key("outcome").String(string(s.Outcome)).EndObject()
	}
	w.EndArray().Key("type").String("qifeng-fraud-report").Key("verdict")
	words(r.Verdict())
	return w.EndObject().Bytes()
}
