package cel

import (
	"errors"

	celgo "cel.dev/cel-go/cel"
	xdscel "github.com/cncf/xds/go/xds/type/v3"
	exprv1alpha1 "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/proto"
)

// FromProto makes an expression that comes parsed. As in Envoy it is the first of
// cel_expr_checked, cel_expr_parsed and the older two, what a checker found out about it
// is not used, its text neither, and xds.node has no value in it. Main goroutine.
func FromProto(cfg *xdscel.CelExpression) (*Expression, error) {
	parsed, err := parsedExpr(cfg)
	if err != nil {
		return nil, err
	}
	l, err := languages[0]()
	if err != nil {
		return nil, err
	}
	return l.expression(celgo.ParsedExprToAst(parsed), nil)
}

func parsedExpr(cfg *xdscel.CelExpression) (*exprv1alpha1.ParsedExpr, error) {
	var expr proto.Message
	switch {
	case cfg.GetCelExprChecked() != nil:
		expr = cfg.GetCelExprChecked().GetExpr()
	case cfg.GetCelExprParsed() != nil:
		expr = cfg.GetCelExprParsed().GetExpr()
	case cfg.GetParsedExpr() != nil:
		expr = cfg.GetParsedExpr().GetExpr()
	case cfg.GetCheckedExpr() != nil:
		expr = cfg.GetCheckedExpr().GetExpr()
	default:
		return nil, errors.New("failed to create an expression: CEL expression not set.")
	}
	// The messages of both generations have the same fields with the same numbers.
	same := new(exprv1alpha1.Expr)
	wire, err := proto.Marshal(expr)
	if err == nil {
		err = proto.Unmarshal(wire, same)
	}
	return &exprv1alpha1.ParsedExpr{Expr: same}, err
}
