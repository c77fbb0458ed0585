package proof

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// fault is why a step failed, in both languages.
type fault struct{ Words }

func (f fault) Error() string { return f.EN }

func faultf(zh, en string, args ...any) error {
	return fault{Words{fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...)}}
}

// cause is a fault with the error that it comes from.
type cause struct {
	fault
	err error
}

func (c cause) Unwrap() []error { return []error{c.fault, c.err} }

// because says in both languages what an error means here.
func because(err error, zh, en string) error { return cause{fault{Words{zh, en}}, err} }

// wordsf fills two texts, each with its own words.
func wordsf(zh, en string, argsZH, argsEN []any) Words {
	return Words{fmt.Sprintf(zh, argsZH...), fmt.Sprintf(en, argsEN...)}
}

// shown is a text from a certificate or a receipt, or an error that may quote one,
// fit for a report: what no canonical string may hold is replaced.
func shown(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	visible := func(s string) bool {
		return utf8.ValidString(s) && canon.IsCanonical(canon.AppendString(nil, s)) == nil
	}
	if visible(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if !visible(string(r)) {
			return '?'
		}
		return r
	}, s)
}

func joined(list []string) string { return strings.Join(list, ", ") }

// explain says an error in both languages. Errors of the rooms below are
// English; the kinds that a verification can meet are told in Chinese here.
func explain(err error) Words {
	w := Words{ZH: err.Error(), EN: err.Error()}
	var f fault
	var half *merkle.HalfError
	var line *checkpoint.LineError
	var pin *checkpoint.PinError
	switch {
	case errors.As(err, &f):
		return f.Words
	case errors.Is(err, gm.ErrDisagree):
		w.ZH = "两套国密实现结论不一致"
	case errors.As(err, &line):
		w.ZH = fmt.Sprintf("检查点第 %d 行，成员 %s 的 %s 签名行不成立", line.Line, line.Member, line.Key)
	case errors.As(err, &pin):
		w.ZH = fmt.Sprintf("总账第 %d 项处的根与信任策略所钉的根不同：出现了两份不同的历史", pin.Pin.Size)
	case errors.As(err, &half):
		w.ZH = fmt.Sprintf("默克尔路径不通向所述的根（%s）", half.Half())
	case errors.Is(err, merkle.ErrPath):
		w.ZH = "默克尔路径的长度与位置、总数不符"
	case errors.Is(err, gm.ErrSignature):
		w.ZH = "签名不成立：内容被改动，或不是由该密钥签署"
	case errors.Is(err, checkpoint.ErrMalformed):
		w.ZH = "检查点格式不合规：" + err.Error()
	case errors.Is(err, checkpoint.ErrChain):
		w.ZH = "检查点属于另一条链"
	case errors.Is(err, checkpoint.ErrEpoch):
		w.ZH = "信任策略没有涵盖该总账大小的时期"
	}
	return w
}

var roleWords = map[checkpoint.Role]string{
	checkpoint.Court: "法院", checkpoint.Notary: "公证处", checkpoint.Arbitration: "仲裁机构", checkpoint.Vendor: "服务商",
}

var stateWords = map[checkpoint.SealState]string{
	checkpoint.SealAbsent: "无会签", checkpoint.SealNoSM2: "缺 SM2 会签", checkpoint.SealNoEd25519: "缺 Ed25519 会签",
	checkpoint.SealTimesApart: "两份会签的时间不同",
}

// missing says in both languages what the quorum lacks.
func missing(s *checkpoint.Sealed) Words {
	q := s.Epoch.Quorum
	var parts []string
	if len(s.Seals) < q.Members {
		parts = append(parts, fmt.Sprintf("须 %d 个成员（共 %d 个），现有 %d 个", q.Members, len(s.Epoch.Members), len(s.Seals)))
	}
	if s.NeutralRoles < q.NeutralRoles {
		parts = append(parts, fmt.Sprintf("须 %d 种中立角色，现有 %d 种", q.NeutralRoles, s.NeutralRoles))
	}
	for _, r := range q.Require {
		n := 0
		for _, o := range s.Outcomes {
			if o.Counted && o.Role == r.Role {
				n++
			}
		}
		if n < r.Count {
			parts = append(parts, fmt.Sprintf("须 %d 个%s，现有 %d 个", r.Count, roleWords[r.Role], n))
		}
	}
	var out []string
	for _, o := range s.Outcomes {
		if !o.Counted {
			out = append(out, fmt.Sprintf("%s（%s）%s", o.Member, roleWords[o.Role], stateWords[o.State]))
		}
	}
	if len(out) > 0 {
		parts = append(parts, "未计入："+strings.Join(out, "、"))
	}
	return Words{strings.Join(parts, "；"), s.Missing}
}

// terms are the Chinese words of the closed lists.
var terms = map[string]string{
	"contract.original": "合同原件", "contract.final": "合同终稿", "contract.attachment": "合同附件",
	"identity.person": "个人身份核验", "identity.company": "企业身份核验", "identity.certificate": "数字证书核验",
	"signing.intent": "签署意愿确认", "signing.signature": "电子签名", "signing.seal": "电子印章", "dossier.close": "卷宗封存",
	"vendor_platform": "服务商平台", "customer_system": "客户系统", "ca": "电子认证机构", "notary": "公证处",
	"arbitration": "仲裁机构", "court": "法院", "other": "其他",
	"automatic": "自动", "manual": "人工", "import": "导入", "production": "生产环境", "test": "测试环境",
	"id_card": "身份证", "phone": "手机号", "bank_card": "银行卡", "biometric": "生物特征", "payment_account": "支付账户", "eid": "eID",
	"licence": "营业执照", "micro_deposit": "小额打款", "legal_person": "法定代表人",
	"sms_code": "短信验证码", "face": "人脸", "password": "密码", "fingerprint": "指纹", "voice": "语音",
	"passed": "通过", "failed": "未通过", "inconclusive": "无定论",
}

// term says a word of a closed list in a language.
func term(word string, l Lang) string {
	if zh, ok := terms[word]; ok && l == Chinese {
		return zh
	}
	return word
}

// describe says what a submission is about: kind, method, result, dossier.
func describe(s *evidence.Submission) Words {
	say := func(l Lang, method, result, dossier, step string) string {
		out := term(string(s.Kind), l)
		if s.Method != "" {
			out += fmt.Sprintf(method, term(s.Method, l))
		}
		if s.Result != "" {
			out += fmt.Sprintf(result, term(s.Result, l))
		}
		if s.Dossier != "" {
			out += fmt.Sprintf(dossier, s.Dossier)
		}
		if s.Step != 0 {
			out += fmt.Sprintf(step, s.Step)
		}
		return out
	}
	return Words{
		"类型 " + say(Chinese, "，方式 %s", "，结果 %s（提交方称）", "，卷宗 %s", " 第 %d 步"),
		"kind " + say(English, ", method %s", ", result %s (the submitter says)", ", dossier %s", " step %d"),
	}
}
