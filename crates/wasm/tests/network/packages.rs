//! Packages that people use: requests and httpx, as they come from PyPI.

use serde_json::json;

use crate::support::{Site, given, has_runtime, packages, with_authority};

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn requests_over_http_and_https() {
    if !has_runtime() {
        return;
    }
    let Some(packages) = packages() else { return };
    let Some(certificate) = with_authority("DNS:localhost") else { return };
    let (plain, secure) = (Site::plain(), Site::tls(&certificate));
    let ended = given(&LOCAL).with_packages(&packages).run(
        "import requests
def main(plain, secure):
    told = []
    for base in (f'http://localhost:{plain}', f'https://localhost:{secure}'):
        with requests.Session() as session:
            first = session.post(base + '/echo', json={'a': 1}).json()
            second = session.get(base + '/echo').json()
            told.append([first['method'], first['count'], first['connection'] == second['connection']])
            told.append(session.get(base + '/gzip').text == 'pressed' * 1000)
            told.append(session.get(base + '/chunked').text)
            told.append(session.get(base + '/redirect?to=/hello').text)
            told.append(session.get(base + '/bytes?times=1000').content == bytes(range(256)) * 1000)
            told.append(session.get(base + '/status?code=418').status_code)
            told.append(sum(map(len, session.get(base + '/big?size=3000000', stream=True).iter_content(65536))))
            try:
                session.get(base + '/slow?seconds=5', timeout=0.3)
            except requests.Timeout as error:
                told.append(type(error).__name__)
            try:
                session.get(base + '/redirect?to=http://evil.example/')
            except requests.ConnectionError as error:
                told.append('evil.example:80 is not allowed' in str(error))
    return told
",
        &[json!(plain.port), json!(secure.port)],
    );
    let one = json!([
        ["POST", 8, true],
        true,
        "one two three",
        "hello",
        true,
        418,
        3_000_000,
        "ReadTimeout",
        true
    ]);
    let expected = [one.as_array().unwrap().clone(), one.as_array().unwrap().clone()].concat();
    assert_eq!(ended.value(), &json!(expected));
}

#[test]
fn httpx_over_http_and_https() {
    if !has_runtime() {
        return;
    }
    let Some(packages) = packages() else { return };
    let Some(certificate) = with_authority("DNS:localhost") else { return };
    let (plain, secure) = (Site::plain(), Site::tls(&certificate));
    let ended = given(&LOCAL).with_packages(&packages).run(
        "import httpx
def main(plain, secure):
    told = []
    for base in (f'http://localhost:{plain}', f'https://localhost:{secure}'):
        with httpx.Client(follow_redirects=True) as client:
            first = client.post(base + '/echo', json={'a': 1}).json()
            second = client.get(base + '/echo').json()
            told.append([first['method'], first['count'], first['connection'] == second['connection']])
            told.append(client.get(base + '/gzip').text == 'pressed' * 1000)
            told.append(client.get(base + '/redirect?to=/hello').text)
            with client.stream('GET', base + '/big?size=3000000') as answer:
                told.append(sum(map(len, answer.iter_bytes())))
            try:
                client.get(base + '/slow?seconds=5', timeout=0.3)
            except httpx.TimeoutException as error:
                told.append(type(error).__name__)
            try:
                client.get(base + '/redirect?to=http://evil.example/')
            except httpx.ConnectError as error:
                told.append('evil.example:80 is not allowed' in str(error))
    return told
",
        &[json!(plain.port), json!(secure.port)],
    );
    let one = json!([["POST", 7, true], true, "hello", 3_000_000, "ReadTimeout", true]);
    let expected = [one.as_array().unwrap().clone(), one.as_array().unwrap().clone()].concat();
    assert_eq!(ended.value(), &json!(expected));
}

#[test]
fn httpx_async_over_http_and_https() {
    if !has_runtime() {
        return;
    }
    let Some(packages) = packages() else { return };
    let Some(certificate) = with_authority("DNS:localhost") else { return };
    let (plain, secure) = (Site::plain(), Site::tls(&certificate));
    let ended = given(&LOCAL).with_packages(&packages).run(
        "import asyncio, httpx
async def main(plain, secure):
    told = []
    for base in (f'http://localhost:{plain}', f'https://localhost:{secure}'):
        async with httpx.AsyncClient(follow_redirects=True) as client:
            first = (await client.post(base + '/echo', json={'a': 1})).json()
            second = (await client.get(base + '/echo')).json()
            told.append([first['method'], first['count'], first['connection'] == second['connection']])
            several = await asyncio.gather(*(client.get(base + p) for p in ('/hello', '/gzip', '/redirect?to=/hello')))
            told.append([len(answer.text) for answer in several])
            async with client.stream('GET', base + '/big?size=3000000') as answer:
                told.append(sum([len(part) async for part in answer.aiter_bytes()]))
            big = await client.post(base + '/echo', content=bytes(2_000_000))
            told.append(big.json()['count'])
            try:
                await client.get(base + '/slow?seconds=5', timeout=0.3)
            except httpx.TimeoutException as error:
                told.append(type(error).__name__)
            try:
                await client.get('http://evil.example/')
            except httpx.ConnectError as error:
                told.append(type(error).__name__)
    return told
",
        &[json!(plain.port), json!(secure.port)],
    );
    let one = json!([
        ["POST", 7, true],
        [5, 7000, 5],
        3_000_000,
        2_000_000,
        "ReadTimeout",
        "ConnectError"
    ]);
    let expected = [one.as_array().unwrap().clone(), one.as_array().unwrap().clone()].concat();
    assert_eq!(ended.value(), &json!(expected));
}
