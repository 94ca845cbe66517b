use crate::expression::{Activation, Budget, Converted, EvaluationError, Metered, Wanted};
use serde_json::{Value, json};

const STEPS: u64 = 1_000_000;

fn holds(source: &str, object: &Value) -> Result<bool, EvaluationError> {
    let expression = Metered::compile(source, &["object"], &[], Wanted::Bool).unwrap_or_else(|error| panic!("{source}: {error}"));
    let object = Converted::lend(object);
    Activation::new([("object", &object)], [], &Budget::new(STEPS)).holds(&expression)
}

fn refused(source: &str) -> String {
    Metered::compile(source, &["object"], &["a", "b"], Wanted::Bool).expect_err(source).message
}

#[test]
fn kubernetes_functions_give_what_kubernetes_gives() {
    let object = json!({
        "spec": { "replicas": 3, "containers": [{ "name": "a", "image": "x/y:1" }, { "name": "b", "image": "z" }] },
        "metadata": { "name": "web", "labels": { "app.kubernetes.io/name": "web" } },
    });
    for source in [
        "object.spec.replicas <= 5",
        "object.?spec.?replicas.orValue(1) == 3 && object.?spec.?nothing.?below.orValue('no') == 'no'",
        "!object.?spec.?nothing.hasValue() && optional.none().orValue(true)",
        "object.metadata.?labels[?'app.kubernetes.io/name'].orValue('') == 'web'",
        "[?object.?spec.?replicas, ?object.?none, 1] == [3, 1]",
        "object.spec.containers.all(c, has(c.image)) && object.spec.containers.exists_one(c, c.image.contains(':'))",
        "object.spec.containers.map(c, c.name) == ['a', 'b'] && object.spec.containers.filter(c, c.name == 'a').size() == 1",
        "object.?spec.?replicas.optMap(n, n * 2).orValue(0) == 6",
        "'%s has %d'.format([object.metadata.name, object.spec.replicas]) == 'web has 3'",
        "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && 'ABC'.lowerAscii() == 'abc' && 'hello'.replace('l', 'L') == 'heLLo'",
        "'hello'.substring(1, 3) == 'el' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && ' x '.trim() == 'x' && 'ab'.charAt(1) == 'b'",
        "'abc 123 de 45'.find('[0-9]+') == '123' && 'abc 123 de 45'.findAll('[0-9]+') == ['123', '45'] && 'a1b2'.findAll('[0-9]', 1) == ['1']",
        "'v1'.matches('^v[0-9]+$') && 'none'.find('[0-9]') == ''",
        "[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1, 2, 3].sum() == 6 && [1.5, 1.0].sum() == 2.5 && [].sum() == 0",
        "[3, 1, 2].min() == 1 && ['a', 'c', 'b'].max() == 'c' && [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && ['x'].indexOf('y') == -1",
        "[[1], [2, 3]].flatten() == [1, 2, 3] && [1, 1, 2].distinct() == [1, 2] && [1, 2, 3].slice(1, 3) == [2, 3] && [3, 1].sort() == [1, 3]",
        "sets.contains([1, 2], [1]) && !sets.contains([1], [2]) && sets.equivalent([1, 2, 1], [2, 1]) && sets.intersects([1, 2], [2, 3])",
        "isQuantity('1.5Gi') && !isQuantity('1.5gi') && !isQuantity('') && isQuantity('100m') && isQuantity('2e3')",
        "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && quantity('500m').isLessThan(quantity('1')) && quantity('1000m').compareTo(quantity('1')) == 0",
        "quantity('50k').add(20).isGreaterThan(quantity('50k')) && quantity('1').sub(quantity('3')).sign() == -1 && quantity('2Ki').asInteger() == 2048",
        "quantity('1500m').asApproximateFloat() == 1.5 && !quantity('1500m').isInteger() && quantity('1').add(quantity('1')) == quantity('2')",
        "url('https://example.com:80/a%20b?q=1&q=2').getHost() == 'example.com:80' && url('https://example.com:80/').getPort() == '80'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('/path').getEscapedPath() == '/path' && url('/path').getHost() == ''",
        "url('https://x/?q=1&q=2').getQuery() == {'q': ['1', '2']} && isURL('https://x') && !isURL('no url') && url('http://x/').getScheme() == 'http'",
        "isIP('10.0.0.1') && !isIP('10.0.0') && !isIP('::ffff:1.2.3.4') && ip('::1').family() == 6 && ip('127.0.0.1').isLoopback()",
        "ip.isCanonical('127.0.0.1') && !ip.isCanonical('2001:DB8::1') && ip('0.0.0.0').isUnspecified() && ip('8.8.8.8').isGlobalUnicast()",
        "['10.0.0.1'].all(ip, isIP(ip)) && [ip('10.0.0.1')].all(ip, ip.family() == 4)",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1')) && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 && string(cidr('10.0.0.0/8').ip()) == '10.0.0.0'",
        "!format.dns1123Label().validate('web').hasValue() && format.dns1123Label().validate('Web').hasValue() && format.named('uuid').hasValue()",
        "!format.named('no-such').hasValue() && !format.qualifiedName().validate('app.kubernetes.io/name').hasValue() && format.uuid().validate('x').hasValue()",
        "!format.dns1123Subdomain().validate('a.example').hasValue() && !format.date().validate('2026-02-28').hasValue() && format.date().validate('2026-02-30').hasValue()",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1 && semver('v1.2', true).minor() == 2",
        "isSemver('1.2.3') && !isSemver('1.2') && !isSemver('01.2.3') && semver('1.0.0-rc.1').isGreaterThan(semver('1.0.0-beta.11'))",
        "math.greatest(1, 2) == 2 && duration('1h') > duration('30m') && timestamp('2026-01-02T03:04:05Z').getFullYear() == 2026",
    ] {
        assert_eq!(holds(source, &object), Ok(true), "{source}");
    }
}

#[test]
fn what_can_never_work_is_refused_when_it_is_read() {
    for (source, says) in [
        ("object.spec.replicas <", "ends too early"),
        ("objct.spec.replicas < 5", "did you mean object?"),
        ("authorizer.group('apps').check('create').allowed()", "leave this check to the cluster's own policy"),
        ("variables.c > 1", "there is no variable `variables.c` here"),
        ("variables.size() > 0", "read field by field"),
        ("quantit('1').sign() == 1", "did you mean quantity()?"),
        ("object.items.all(i, v, v > 1)", "takes 2 arguments"),
        ("object.spec.replicas.isGreater(2)", "there is no function isGreater()"),
        ("'yes'", "true or false is wanted"),
        ("[1]", "true or false is wanted"),
        ("1 + ", "ends too early"),
        ("optional.noen()", "there is no function optional.noen()"),
        ("Pod{spec: 1} == 2", "cannot be made here"),
        ("'a'.matches('[')", "regular expression"),
    ] {
        let message = refused(source);
        assert!(message.contains(says), "{source}: {message}");
    }
    let never = Metered::compile("object.a == 1", &["object"], &[], Wanted::Text).expect_err("no text").message;
    assert!(never.contains("a text is wanted"), "{never}");
}

#[test]
fn no_expression_takes_long_or_grows_large() {
    let object = json!({ "list": (0..2000).collect::<Vec<_>>(), "text": "x".repeat(60_000) });
    let begun = std::time::Instant::now();
    for source in [
        "object.list.all(a, object.list.all(b, object.list.all(c, a + b + c >= 0)))",
        "object.list.map(a, object.list.map(b, object.list)).size() > 0",
        "object.list.map(a, object.text + object.text).size() > 0",
        "object.list.exists(a, object.list.exists(b, false)) || true",
        "object.list.all(a, object.?text.orValue('').size() > 0 && object.?list.hasValue())",
        "object.list.all(a, sets.contains(object.list, object.list))",
        "object.text.replace('x', object.text) != ''",
        "object.text.replace('', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy').replace('y', 'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz').replace('z', 'zz') != ''",
        "lists.range(1000000).map(a, lists.range(1000000)).size() > 0",
    ] {
        assert!(holds(source, &object).is_err(), "{source}");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn a_pattern_is_paid_for_when_it_is_compiled_and_a_search_by_the_length_of_its_text() {
    let object = json!({ "list": (0..2000).collect::<Vec<_>>(), "short": "web-1", "long": "x".repeat(600_000) });
    let cost = |source: &str| {
        let expression = Metered::compile(source, &["object"], &[], Wanted::Bool).unwrap_or_else(|error| panic!("{source}: {error}"));
        let (lent, budget) = (Converted::lend(&object), Budget::new(STEPS));
        let held = Activation::new([("object", &lent)], [], &budget).holds(&expression);
        (held, STEPS - budget.left())
    };
    let (once, price) = cost("object.short.matches('^web-[0-9]+$')");
    assert!(once == Ok(true) && price > 300, "{price}");
    // The same pattern is compiled once, wherever it comes from.
    let (all, again) = cost("object.list.all(n, object.short.matches('^web-' + '[0-9]+$') && object.short.find('[0-9]') == '1')");
    assert!(all == Ok(true) && again < 100_000, "{again}");
    // Others each have their price: of so many, only some are compiled.
    for source in [
        "object.list.all(n, object.short.matches('web|' + string(n)))",
        "object.list.all(n, object.short.find('web|[a-f]{40}' + string(n)) == 'web')",
        "object.list.all(n, object.short.findAll('(?i)web|' + string(n)).size() > 0)",
        "object.list.exists(n, object.short.matches('(a{40}){40}(b{40}){' + string(n) + '}'))",
    ] {
        let (held, price) = cost(source);
        assert!(held.is_err() || price > 2000 * 300, "{source}: {held:?} {price}");
    }
    let (_, price) = cost("object.long.matches('y')");
    assert!(price > 600_000 / 64, "{price}");
    for too_large in ["object.short.matches('(((a{100}){100}){100}){' + string(object.list[9]) + '}')", "object.short.find('\\\\w{300}') == ''"] {
        let (held, price) = cost(too_large);
        assert!(held.is_err() && (15_000..100_000).contains(&price), "{held:?} {price}");
    }
    assert!(cost("matches(object.short, object.long)").0.is_err());
}

#[test]
fn a_variable_is_evaluated_when_it_is_read_and_once_and_cannot_grow_without_end() {
    let object = Converted::own(&json!({ "spec": { "replicas": 3 }, "text": "x".repeat(1000) }));
    let compile = |source: &str, declared: &[&str], wanted| Metered::compile(source, &["object"], declared, wanted).expect("an expression");
    let broken = compile("object.nothing", &[], Wanted::Any);
    let replicas = compile("object.spec.replicas", &["broken"], Wanted::Any);
    let limit = compile("quantity('1Gi')", &["broken", "replicas"], Wanted::Any);
    let variables = [("broken", &broken), ("replicas", &replicas), ("limit", &limit)];
    let all = ["broken", "replicas", "limit"];
    let budget = Budget::new(STEPS);
    let activation = Activation::new([("object", &object)], variables, &budget);
    assert_eq!(
        activation.holds(&compile("variables.replicas == 3 && variables.limit.isInteger() && has(variables.broken)", &all, Wanted::Bool)),
        Ok(true)
    );
    assert_eq!(activation.holds(&compile("variables.replicas == 3 || variables.broken", &all, Wanted::Bool)), Ok(true));
    let error = activation.holds(&compile("variables.broken == 1", &all, Wanted::Bool)).expect_err("broken").to_string();
    assert_eq!(error, "variables.broken: there is no field `nothing`");
    assert_eq!(activation.text(&compile("string(variables.replicas)", &all, Wanted::Text)), Ok(Some("3".to_owned())));
    assert_eq!(activation.text(&compile("null", &all, Wanted::Text)), Ok(None));

    let names: Vec<String> = (0..60).map(|at| format!("v{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let doubled: Vec<Metered> = (0..60)
        .map(|at| {
            compile(&if at == 0 { "object.text".to_owned() } else { format!("variables.v{0} + variables.v{0}", at - 1) }, &names[..at], Wanted::Any)
        })
        .collect();
    let activation = Activation::new([("object", &object)], names.iter().copied().zip(&doubled), &budget);
    let error = activation.holds(&compile("variables.v59 == ''", &names, Wanted::Bool)).expect_err("too large").to_string();
    assert!(error.contains("steps"), "{error}");
}
